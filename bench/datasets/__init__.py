"""One file per dataset; `catalog` opens them by name."""
