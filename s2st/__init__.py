"""Textless speech-to-speech translation: waveform -> units -> units -> waveform."""
