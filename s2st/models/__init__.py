"""One file a model: torch only, no paths, no logging."""
