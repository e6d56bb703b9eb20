"""Devices, precision, seeding and loading."""
