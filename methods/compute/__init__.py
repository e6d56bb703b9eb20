"""Devices, precision, seeding, loading."""
