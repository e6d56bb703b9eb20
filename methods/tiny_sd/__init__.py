"""The embedded world's networks: a tiny Stable Diffusion and a tiny CLIP, trained from scratch."""
