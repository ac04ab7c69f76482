"""Ray Serve: a model folder behind HTTP."""
