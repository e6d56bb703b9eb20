"""Numbers of a report for papers and programs: CSV, JSON with its schemas, LaTeX, one row per score."""
