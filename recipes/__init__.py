"""Whole experiments, one YAML each: python -m recipes demo."""
