"""Rendering of a person and a shot: meshes, textures, rasterisation, shading."""
