"""The attention layers to which adapters add image tokens, by the design of the network."""
