"""LoRA specialists: trained on generated skills, stored small, and how well they answer."""
