"""The command line: `bench run`, `report`, `plot`, `list`, `data`, `doctor`, `train`."""
