"""Whisper of transformers as a recogniser of one language (Radford et al. 2022)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.interop.hearing import hear_in_parts
from s2st.interop.pretrained import read_model, read_pretrained

LONGEST_SECONDS = 30.0  # that it hears; longer recordings are cut into equal parts


@dataclass(frozen=True)
class WhisperConfig:
    model: str  # a local folder, or a repository of the hub such as openai/whisper-small
    revision: str | None = None  # of the repository
    beam: int = 1  # 1: greedy
    batch_size: int = 8  # recordings, or parts of them, heard at once

    def __post_init__(self) -> None:
        if min(self.beam, self.batch_size) < 1:
            raise ValueError("beam and batch_size must be at least 1")


class Whisper:
    """Transcribes one language; has the interface of this project's recognisers."""

    def __init__(self, model: Any, processor: Any, config: WhisperConfig, lang: str) -> None:
        """Take a model of transformers and its processor; raises UserError if the model does not know the language."""
        self.model, self.processor, self.config = model, processor, config
        generation = model.generation_config
        known = getattr(generation, "lang_to_id", None) if getattr(generation, "is_multilingual", True) else None
        if known is None and lang != "en":
            raise UserError(f"{config.model} hears English only, and not '{lang}'; name a model of many languages")
        if known is not None and f"<|{lang}|>" not in known:
            raise UserError(f"{config.model} does not hear '{lang}'; name another model")
        self.told = {} if known is None else {"language": lang, "task": "transcribe"}

    @torch.inference_mode()
    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Hear the text of each waveform (N,), as Whisper writes it; one shorter than a frame gives ""."""
        return hear_in_parts(waveforms, LONGEST_SECONDS, self._hear_all)

    def _hear_all(self, parts: list[np.ndarray]) -> list[str]:
        size = self.config.batch_size
        return [text for start in range(0, len(parts), size) for text in self._hear(parts[start : start + size])]

    def _hear(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Hear waveforms of up to LONGEST_SECONDS; each is padded to that, so a batch hears what each alone does."""
        features = self.processor(list(waveforms), sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
        found = self.model.generate(
            features.to(self.model.device), num_beams=self.config.beam, do_sample=False, **self.told
        )
        return self.processor.batch_decode(found, skip_special_tokens=True)


def load_whisper(config: WhisperConfig, languages: Iterable[str], device: str) -> dict[str, Whisper]:
    """Read one model that hears several languages: a recogniser for each."""
    model = read_model("WhisperForConditionalGeneration", config.model, config.revision, device)
    processor = read_pretrained("WhisperProcessor", config.model, config.revision)
    return {lang: Whisper(model, processor, config, lang) for lang in languages}
