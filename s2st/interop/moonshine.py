"""Moonshine's small English recogniser from its own package: a judge that this project did not train.

The model lies in the package moonshine-voice 0.0.65 (MIT licence) and runs offline on the CPU; later ones fetch theirs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from s2st.audio import SAMPLE_RATE, equal_parts
from s2st.config import UserError

PACKAGE, LANGUAGE = "moonshine-voice", "en"
VERSION = "moonshine-tiny-en@moonshine-voice-0.0.65"  # as signatures of scores name it
INSTALL = "run: pip install moonshine-voice==0.0.65"
LONGEST_SECONDS = 30.0  # that it was trained to hear; longer recordings are cut into equal parts
# Its voice activity detector is left out: it cuts prompts of ten seconds and more in the middle of words, and where it
# cuts depends on the processor's load. Who speaks is not asked either.
OPTIONS = {"vad_threshold": "0", "identify_speakers": "false", "return_audio_data": "false"}


def need_package() -> None:
    """Raise UserError unless the package is there, with its model."""
    if not _model().is_dir():
        raise UserError(f"Moonshine needs its package, of the version that carries a model; {INSTALL}")


def _model() -> Path:
    package = importlib.util.find_spec("moonshine_voice")
    return Path(package.origin if package and package.origin else "moonshine_voice").parent / "assets" / "tiny-en"


class Moonshine:
    """Transcribes English; has the interface of this project's recognisers."""

    def __init__(self) -> None:
        need_package()
        import moonshine_voice

        self.model = moonshine_voice.Transcriber(_model(), moonshine_voice.ModelArch.TINY, options=OPTIONS)

    def transcribe(self, waveforms: Sequence[np.ndarray]) -> list[str]:
        """Hear the text of each waveform (N,), as it writes it: with capitals, punctuation and numbers in digits."""
        parts = [equal_parts(waveform, LONGEST_SECONDS) for waveform in waveforms]
        return [" ".join(filter(None, map(self._hear, of_one))) for of_one in parts]

    def _hear(self, waveform: np.ndarray) -> str:
        transcript = self.model.transcribe_without_streaming(waveform.tolist(), SAMPLE_RATE)
        return " ".join(line.text.strip() for line in transcript.lines)
