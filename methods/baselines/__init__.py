"""Rows that every table carries: floor and ceiling."""
