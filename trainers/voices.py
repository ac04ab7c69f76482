"""The speakers and languages that a vocoder learns, and their numbers."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor


@dataclass(frozen=True)
class Voices:
    """Names of the speakers and languages that a vocoder knows, in the order of their numbers."""

    speakers: tuple[str, ...]
    languages: tuple[str, ...]
    default_speakers: dict[str, str]  # of each language, the speaker with most recordings

    @classmethod
    def of(cls, rows: pa.Table, languages: Sequence[str]) -> "Voices":
        """Find those of the training rows of UNITS."""
        speakers = tuple(sorted(set(rows["speaker"].to_pylist())))
        return cls(speakers, tuple(languages), default_speakers(rows))

    def info(self) -> dict[str, Any]:
        """What is to be known of them beside the model."""
        return {
            "speakers": list(self.speakers),
            "languages": list(self.languages),
            "default_speakers": self.default_speakers,
        }

    def model_settings(self) -> dict[str, int]:
        """Sizes of the embeddings; one voice or one language needs none."""
        return {"num_speakers": _several(self.speakers), "num_languages": _several(self.languages)}

    def tensors(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Give speaker (B,) and language (B,) of rows, where the model has embeddings for them.

        A speaker of the validation split who was not trained gets the number of the language's default speaker.
        """
        tensors = {}
        if _several(self.speakers):
            tensors["speaker"] = torch.tensor([self.speakers.index(self._speaker(row)) for row in rows])
        if _several(self.languages):
            tensors["language"] = torch.tensor([self.languages.index(row["lang"]) for row in rows])
        return tensors

    def _speaker(self, row: dict[str, Any]) -> str:
        return row["speaker"] if row["speaker"] in self.speakers else self.default_speakers[row["lang"]]


def _several(names: Sequence[str]) -> int:
    return len(names) if len(names) > 1 else 0


def default_speakers(rows: pa.Table) -> dict[str, str]:
    """Name for each language the speaker with most recordings."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for lang, speaker in zip(rows["lang"].to_pylist(), rows["speaker"].to_pylist(), strict=True):
        counts[lang][speaker] += 1
    return {lang: max(sorted(heard), key=lambda name: heard[name]) for lang, heard in counts.items()}
