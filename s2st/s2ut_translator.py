"""Speech to speech by S2UT on one device: waveform -> units of the other language -> waveform."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from s2st.features.filterbank import source_features
from s2st.models.pretrained_source import PretrainedSource
from s2st.models.s2ut import S2ut
from s2st.speech_decoding import SPEECH_SEARCH, translate_speech
from s2st.translator import SpeechTranslator, Translation, load_parts, speak
from s2st.voice import Voice


class S2utTranslator(SpeechTranslator):
    """A model folder whose translator is S2UT, loaded."""

    def __init__(self, translator: S2ut, voices: dict[str, Voice], directions: Sequence[str]):
        self.translator, self.voices = translator.eval(), voices
        self.directions, self.languages = tuple(directions), frozenset(voices)

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "S2utTranslator":
        """Read a model folder; raises UserError as `load_parts` does."""
        parts = load_parts(folder, device, "s2ut")
        return cls(parts.translator, parts.voices, parts.directions)  # type: ignore[arg-type]

    def translate_batch(
        self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str, beam: int = 5
    ) -> list[Translation]:
        """Translate waveforms, whatever their languages; see SpeechTranslator."""
        if not waveforms:
            return []
        model, device = self.translator, next(self.translator.parameters()).device
        if isinstance(model.source, PretrainedSource):
            heard = [torch.from_numpy(waveform) for waveform in waveforms]
        else:
            heard = [source_features(waveform, model.config.source.deltas) for waveform in waveforms]
        lengths = torch.tensor([len(each) for each in heard])
        options = dataclasses.replace(SPEECH_SEARCH, beam=beam)
        padded = pad_sequence(heard, batch_first=True)
        found = translate_speech(model, padded.to(device), lengths.to(device), [to] * len(heard), options)
        nothing = np.zeros(0, np.int32)
        return speak(self.voices[to], to, [best for best, *_ in found], [nothing] * len(found))
