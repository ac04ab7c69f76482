"""Features of speech, computed from one waveform at a time."""
