"""Rendered datasets: captions, image files, the shipped test set."""
