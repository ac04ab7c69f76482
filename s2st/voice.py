"""A unit vocoder with the numbers of its speakers and languages: reduced units become speech."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_vocoder import UnitVocoder
from s2st.precision import autocast


class Voice:
    """A unit vocoder and the numbers of its speakers and languages."""

    def __init__(self, vocoder: UnitVocoder, info: dict[str, Any], bf16: bool = False):
        vocoder.prepare_to_speak()
        self.vocoder, self.info, self.bf16 = vocoder, info, bf16

    @classmethod
    def load(cls, folder: str, device: str = "cpu", bf16: bool = False) -> "Voice":
        """Read a vocoder from the folder that its trainer wrote; in bf16 it is less exact, and faster on a GPU."""
        vocoder, info = checkpoint.load(folder, *checkpoint.VOCODERS)
        return cls(vocoder.to(device), info, bf16)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the vocoder is."""
        return next(self.vocoder.parameters()).device

    def speak(
        self, sequences: Sequence[np.ndarray], lang: str, speaker: str | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give the waveform (N,) and durations (L,) of each sequence of reduced units (L,) of one language.

        Without `speaker`, in the voice that was heard most in that language. Raises UserError for an unknown one.
        """
        if not sequences:
            return []
        with autocast(self.device, self.bf16):
            waveform, num_samples, durations = self.vocoder.speak(**self.batch(sequences, lang, speaker))
        return [
            (waveform[i, : int(num_samples[i])].cpu().numpy(), durations[i, : len(units)].cpu().numpy())
            for i, units in enumerate(sequences)
        ]

    def batch(self, sequences: Sequence[np.ndarray], lang: str, speaker: str | None = None) -> dict[str, Tensor]:
        """Make what the vocoder reads of sequences (L,): padded units, lengths, and numbers of voices."""
        lengths = torch.tensor([len(units) for units in sequences])
        padded = torch.zeros(len(sequences), max(1, int(lengths.max())), dtype=torch.long)
        for row, units in zip(padded, sequences, strict=True):
            row[: len(units)] = torch.from_numpy(np.asarray(units, dtype=np.int64))
        numbers = {name: torch.full_like(lengths, number) for name, number in self._condition(lang, speaker).items()}
        return {name: value.to(self.device) for name, value in {"units": padded, "lengths": lengths, **numbers}.items()}

    def _condition(self, lang: str, speaker: str | None) -> dict[str, int]:
        if speaker is not None and speaker not in (known := self.info["speakers"]):
            raise UserError(f"this vocoder has no speaker '{speaker}'; it has {', '.join(known)}")
        numbers = {}
        if self.vocoder.num_speakers:
            numbers["speaker"] = self.info["speakers"].index(speaker or self.info["default_speakers"][lang])
        if self.vocoder.num_languages:
            numbers["language"] = self.info["languages"].index(lang)
        return numbers
