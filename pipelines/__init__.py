"""Ray Data: datasets in, datasets out."""
