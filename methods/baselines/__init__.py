"""Baselines in every table: the floor and the ceiling of identity."""
