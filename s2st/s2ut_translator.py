"""Speech to speech by S2UT on one device: waveform -> units of the other language -> waveform."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2st.beam_search import SearchOptions
from s2st.features.filterbank import check_lengths, hear
from s2st.models.s2ut import S2ut
from s2st.speech_decoding import SPEECH_SEARCH, translate_speech
from s2st.translator import SpeechTranslator, Translation, load_parts, speak
from s2st.voice import Voice


class S2utTranslator(SpeechTranslator):
    """A model folder whose translator is S2UT, loaded."""

    search = SPEECH_SEARCH

    def __init__(self, translator: S2ut, voices: dict[str, Voice], directions: Sequence[str]):
        self.translator, self.voices = translator.eval(), voices
        self.directions, self.languages = tuple(directions), frozenset(voices)
        self.max_source_frames = (translator.config.pretrained or translator.config.source).max_frames

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "S2utTranslator":
        """Read a model folder; raises UserError as `load_parts` does."""
        parts = load_parts(folder, device, "s2ut")
        return cls(parts.translator, parts.voices, parts.directions)  # type: ignore[arg-type]

    def translate_batch(
        self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str, options: SearchOptions | None = None
    ) -> list[Translation]:
        """Translate waveforms, whatever their languages; see SpeechTranslator."""
        if not waveforms:
            return []
        features, lengths = self._hear(waveforms)
        device = next(self.translator.parameters()).device
        targets = [to] * len(waveforms)
        found = translate_speech(
            self.translator, features.to(device), lengths.to(device), targets, options or self.search
        )
        return speak(self.voices[to], to, [best for best, *_ in found], [np.zeros(0, np.int32)] * len(found))

    def _hear(self, waveforms: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Give what the model's source takes, and its lengths."""
        config = self.translator.config
        if config.pretrained is None:
            return hear(waveforms, config.source.deltas, self.max_source_frames)
        check_lengths(waveforms, self.max_source_frames)
        padded = pad_sequence([torch.from_numpy(waveform) for waveform in waveforms], batch_first=True)
        return padded, torch.tensor([len(waveform) for waveform in waveforms])
