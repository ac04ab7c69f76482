"""A unit vocoder with the numbers of its speakers and languages: units become speech."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_vocoder import UnitVocoder


def check_speaks_reduced(folder: str) -> None:
    """Raise UserError if a folder's vocoder speaks full units only, which no translator gives; loads no weights."""
    config = checkpoint.read_config(folder, *checkpoint.VOCODERS)["config"]
    check_predicts(config.get("predict_durations", True), folder)


def check_predicts(predicts: bool, where: str) -> None:
    """Raise UserError, beginning with `where`, for a vocoder that cannot speak reduced units."""
    if not predicts:
        raise UserError(
            f"{where} predicts no durations: it speaks full units, one for each 20 ms, and no reduced ones; take a "
            "vocoder that predicts them"
        )


class Voice:
    """A unit vocoder and the numbers of its speakers and languages."""

    def __init__(self, vocoder: UnitVocoder, info: dict[str, Any]):
        vocoder.remove_weight_norm()
        self.vocoder, self.info = vocoder, info

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "Voice":
        """Read a vocoder from the folder that its trainer wrote."""
        vocoder, info = checkpoint.load(folder, *checkpoint.VOCODERS)
        return cls(vocoder.to(device), info)  # type: ignore[arg-type]

    def speak(
        self, sequences: Sequence[np.ndarray], lang: str, full: bool = False
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give the waveform (N,) and durations (L,) of each sequence of units (L,) of one language.

        Units are reduced ones, whose durations are predicted, or `full` ones, each of one frame.
        Raises UserError for reduced units that repeat, and for any where the vocoder predicts no durations: full ones
        would be stretched, reduced ones hurried.
        """
        if not full:
            self._check_reduced(sequences)
        if not sequences:
            return []
        device = next(self.vocoder.parameters()).device
        lengths = torch.tensor([len(units) for units in sequences])
        padded = torch.zeros(len(sequences), max(1, int(lengths.max())), dtype=torch.long)
        for row, units in zip(padded, sequences, strict=True):
            row[: len(units)] = torch.from_numpy(np.asarray(units, dtype=np.int64))
        waveform, num_samples, durations = self.vocoder.speak(
            padded.to(device),
            lengths.to(device),
            torch.ones_like(padded, device=device) if full else None,
            **self._condition(lang, len(sequences), device),
        )
        return [
            (waveform[i, : int(num_samples[i])].cpu().numpy(), durations[i, : len(units)].cpu().numpy())
            for i, units in enumerate(sequences)
        ]

    def _check_reduced(self, sequences: Sequence[np.ndarray]) -> None:
        check_predicts(self.vocoder.duration_predictor is not None, "this vocoder")
        if any((np.diff(units) == 0).any() for units in sequences):
            raise UserError("units repeat where reduced ones are spoken; reduce them, or speak them as full ones")

    def _condition(self, lang: str, count: int, device: torch.device) -> dict[str, torch.Tensor]:
        numbers = {}
        if self.vocoder.num_speakers:
            numbers["speaker"] = self.info["speakers"].index(self.info["default_speakers"][lang])
        if self.vocoder.num_languages:
            numbers["language"] = self.info["languages"].index(lang)
        return {name: torch.full((count,), number, device=device) for name, number in numbers.items()}
