"""DreamBooth with LoRA."""
