"""Curves of a run: over a swept setting, and over the threshold of face verification."""
