"""A unit vocoder with the numbers of its speakers and languages: reduced units become speech."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from s2st import checkpoint
from s2st.models.unit_vocoder import UnitVocoder


class Voice:
    """A unit vocoder and the numbers of its speakers and languages."""

    def __init__(self, vocoder: UnitVocoder, info: dict[str, Any]):
        vocoder.prepare_to_speak()
        self.vocoder, self.info = vocoder, info

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "Voice":
        """Read a vocoder from the folder that its trainer wrote."""
        vocoder, info = checkpoint.load(folder, *checkpoint.VOCODERS)
        return cls(vocoder.to(device), info)  # type: ignore[arg-type]

    def speak(self, sequences: Sequence[np.ndarray], lang: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give the waveform (N,) and durations (L,) of each sequence of reduced units (L,) of one language."""
        if not sequences:
            return []
        device = next(self.vocoder.parameters()).device
        lengths = torch.tensor([len(units) for units in sequences])
        padded = torch.zeros(len(sequences), max(1, int(lengths.max())), dtype=torch.long)
        for row, units in zip(padded, sequences, strict=True):
            row[: len(units)] = torch.from_numpy(np.asarray(units, dtype=np.int64))
        waveform, num_samples, durations = self.vocoder.speak(
            padded.to(device), lengths.to(device), **self._condition(lang, len(sequences), device)
        )
        return [
            (waveform[i, : int(num_samples[i])].cpu().numpy(), durations[i, : len(units)].cpu().numpy())
            for i, units in enumerate(sequences)
        ]

    def _condition(self, lang: str, count: int, device: torch.device) -> dict[str, torch.Tensor]:
        numbers = {}
        if self.vocoder.num_speakers:
            numbers["speaker"] = self.info["speakers"].index(self.info["default_speakers"][lang])
        if self.vocoder.num_languages:
            numbers["language"] = self.info["languages"].index(lang)
        return {name: torch.full((count,), number, device=device) for name, number in numbers.items()}
