"""Comparisons between runs: what may be compared, and paired differences."""
