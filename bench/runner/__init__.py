"""Fit and generate: everything that writes images into a run folder."""
