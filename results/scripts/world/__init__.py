"""Measurements of the built-in synthetic benchmark itself."""
