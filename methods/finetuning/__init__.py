"""Fine-tuning on one subject, shared by DreamBooth-LoRA and textual inversion."""
