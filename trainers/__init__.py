"""Ray Train: datasets in, checkpoints out."""
