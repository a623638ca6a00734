"""What a run leaves in Weights & Biases: figures, tables, charts, artifacts."""
