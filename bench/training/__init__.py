"""Data and folders for `bench train`."""
