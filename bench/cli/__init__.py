"""The command line: `bench run`, `report`, `score`, `plot`, `list`, `data`, `doctor`, `train`."""
