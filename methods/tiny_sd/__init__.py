"""The built-in synthetic benchmark's networks, trained from scratch: a tiny Stable Diffusion and CLIP."""
