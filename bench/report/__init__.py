"""Formats of the comparison table: Markdown, CSV, JSON, plots, image grid."""
