"""Fine-tuning per subject, shared by DreamBooth-LoRA and textual inversion."""
