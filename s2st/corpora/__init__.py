"""Corpora of parallel speech: one module each, every one read as shards of recordings (see corpus.py)."""
