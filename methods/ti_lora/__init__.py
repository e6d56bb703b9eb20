"""Pivotal tuning: token embeddings and LoRA together."""
