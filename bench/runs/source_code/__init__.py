"""Digests of the code that a class depends on, found without importing it."""
