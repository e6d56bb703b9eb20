"""Parameters of a synthetic person and of a photograph."""
