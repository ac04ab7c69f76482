"""VITS of transformers, such as the voices of MMS-TTS, as a speaker of text (Kim et al. 2021; Pratap et al. 2023)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from s2st import audio
from s2st.config import UserError
from s2st.interop.pretrained import read_model, read_pretrained


@dataclass(frozen=True)
class VitsConfig:
    model: str  # a local folder, or a repository of the hub such as facebook/mms-tts-hin
    revision: str | None = None  # of the repository
    seed: int = 0  # of its noise; each text begins with it, so that it sounds the same in any batch


class Vits:
    """Speaks one language."""

    def __init__(self, model: Any, tokenizer: Any, config: VitsConfig) -> None:
        """Take a model of transformers and its tokenizer; raises UserError if it reads romanised text alone."""
        if getattr(tokenizer, "is_uroman", False):
            raise UserError(
                f"{config.model} reads text that uroman has romanised, which is not done; name another model"
            )
        self.model, self.tokenizer, self.config = model, tokenizer, config

    @torch.inference_mode()
    def speak(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Speak texts: waveforms (N,), float32 in [-1, 1], 16 kHz; (0,) where a text has no letter that it knows."""
        return [self._speak(text) for text in texts]

    def _speak(self, text: str) -> np.ndarray:
        tokens = self.tokenizer(text, return_tensors="pt").to(self.model.device)
        if not tokens["input_ids"].numel():
            return np.zeros(0, np.float32)
        devices = [self.model.device] if self.model.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(self.config.seed)
            waveform = self.model(**tokens).waveform[0].cpu().numpy()
        return audio.resample(waveform, self.model.config.sampling_rate).clip(-1, 1)


class VitsSpeaker:
    """Speaks several languages, a voice each."""

    def __init__(self, by_language: Mapping[str, Vits]) -> None:
        self.by_language = by_language

    @classmethod
    def load(cls, configs: Mapping[str, VitsConfig], device: str) -> "VitsSpeaker":
        """Read the voice of each language."""
        voices = {}
        for lang, config in configs.items():
            model = read_model("VitsModel", config.model, config.revision, device)
            voices[lang] = Vits(model, read_pretrained("VitsTokenizer", config.model, config.revision), config)
        return cls(voices)

    def speak(self, texts: Sequence[str], lang: str) -> list[np.ndarray]:
        """Speak texts of one language; see Vits."""
        return self.by_language[lang].speak(texts)
