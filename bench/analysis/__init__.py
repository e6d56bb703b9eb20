"""Comparison table of a finished run: means, intervals, paired differences, ranks, costs."""
