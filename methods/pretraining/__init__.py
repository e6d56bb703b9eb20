"""Training on photographs of many people, shared by the adapters and the tiny Stable Diffusion."""
