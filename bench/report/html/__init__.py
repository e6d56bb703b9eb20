"""The report as a web page: comparison table, plots, gallery, and the sections of the Markdown report."""
