"""Fit methods and generate images into a run folder."""
