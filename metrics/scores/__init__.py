"""Metrics: each combines an encoder with a statistic into one column of the results table."""
