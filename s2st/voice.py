"""A unit vocoder with the numbers of its speakers and languages: units become speech."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_vocoder import UnitVocoder
from s2st.precision import autocast


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

    def __init__(self, vocoder: UnitVocoder, info: dict[str, Any], bf16: bool = False):
        vocoder.prepare_to_speak()
        self.vocoder, self.info, self.bf16 = vocoder, info, bf16

    @classmethod
    def load(cls, folder: str, device: str = "cpu", bf16: bool = False) -> "Voice":
        """Read a vocoder from the folder that its trainer wrote; in bf16 it is less exact."""
        vocoder, info = checkpoint.load(folder, *checkpoint.VOCODERS)
        return cls(vocoder.to(device), info, bf16)  # type: ignore[arg-type]

    @property
    def device(self) -> torch.device:
        """Where the vocoder is."""
        return next(self.vocoder.parameters()).device

    def speak(
        self, sequences: Sequence[np.ndarray], lang: str, full: bool = False, speaker: str | None = None
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Give the waveform (N,) and durations (L,) of each sequence of units (L,) of one language.

        Units are reduced ones, whose durations are predicted, or `full` ones, each of one frame. Without `speaker`, it
        is the one that was heard most in that language. Raises UserError as `batch` does.
        """
        if not sequences:
            return []
        with autocast(self.device, self.bf16):
            waveform, num_samples, durations = self.vocoder.speak(**self.batch(sequences, lang, full, speaker))
        return [
            (waveform[i, : int(num_samples[i])].cpu().numpy(), durations[i, : len(units)].cpu().numpy())
            for i, units in enumerate(sequences)
        ]

    def batch(
        self, sequences: Sequence[np.ndarray], lang: str, full: bool = False, speaker: str | None = None
    ) -> dict[str, Tensor]:
        """Make what the vocoder reads of sequences (L,): padded units, lengths, durations of full ones, the voice.

        Raises UserError for reduced units that repeat, and for any where the vocoder predicts no durations: full ones
        would be stretched, reduced ones hurried. Also for a speaker that it does not know.
        """
        if not full:
            self._check_reduced(sequences)
        lengths = torch.tensor([len(units) for units in sequences])
        padded = torch.zeros(len(sequences), max(1, int(lengths.max())), dtype=torch.long)
        for row, units in zip(padded, sequences, strict=True):
            row[: len(units)] = torch.from_numpy(np.asarray(units, dtype=np.int64))
        made = {"units": padded, "lengths": lengths, **({"durations": torch.ones_like(padded)} if full else {})}
        made |= {name: torch.full_like(lengths, number) for name, number in self._condition(lang, speaker).items()}
        return {name: value.to(self.device) for name, value in made.items()}

    def _check_reduced(self, sequences: Sequence[np.ndarray]) -> None:
        check_predicts(self.vocoder.duration_predictor is not None, "this vocoder")
        if any((np.diff(units) == 0).any() for units in sequences):
            raise UserError("units repeat where reduced ones are spoken; reduce them, or speak them as full ones")

    def _condition(self, lang: str, speaker: str | None) -> dict[str, int]:
        known = self.info.get("speakers", [])
        if speaker is not None and speaker not in known:
            raise UserError(
                f"this vocoder has no speaker '{speaker}'; it has {', '.join(known) or 'one, without a name'}"
            )
        numbers = {}
        if self.vocoder.num_speakers:
            numbers["speaker"] = known.index(self.info["default_speakers"][lang] if speaker is None else speaker)
        if self.vocoder.num_languages:
            numbers["language"] = self.info["languages"].index(lang)
        return numbers
