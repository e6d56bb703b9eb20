"""The shared diffusion backbone: locate, load, sample, encode."""
