"""Readers of the supported datasets, and the registry that opens them by name."""
