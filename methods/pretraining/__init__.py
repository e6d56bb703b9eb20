"""Training over many people, shared by the adapters and the tiny Stable Diffusion."""
