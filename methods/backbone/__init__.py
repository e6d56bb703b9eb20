"""The shared diffusion backbone."""
