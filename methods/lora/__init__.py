"""LoRA files: reading, merging, pretrained folders."""
