"""Models from other libraries: torchaudio's bundles, folders of Hugging Face."""
