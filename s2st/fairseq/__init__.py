"""What fairseq writes and reads."""
