"""Files that describe a run: run.json and the tables."""
