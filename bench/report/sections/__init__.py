"""Sections of the Markdown report."""
