"""Editing models that read photographs in their context."""
