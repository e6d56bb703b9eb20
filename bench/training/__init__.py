"""Data, folders and options of `bench train`."""
