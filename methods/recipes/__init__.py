"""Recipes that train the shipped weights and write their model cards."""
