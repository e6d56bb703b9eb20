"""Meshes, materials and rasterisation."""
