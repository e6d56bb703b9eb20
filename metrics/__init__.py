"""Metrics: encoders that map images to features, and statistics that map features to scores."""
