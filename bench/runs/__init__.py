"""The plan of a run and its files: run folder, manifest, tables, fingerprints."""
