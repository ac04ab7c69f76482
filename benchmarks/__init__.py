"""Ours beside the peers', on the same work: python -m benchmarks."""
