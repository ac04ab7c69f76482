"""Speech to speech by spectrograms, on one device: waveform -> filterbank -> log-mel -> waveform."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from s2st import checkpoint, griffin_lim
from s2st.audio import SAMPLE_RATE
from s2st.beam_search import SearchOptions, ends_in_loop
from s2st.features.filterbank import hear
from s2st.features.spectral import MFCC_HOP
from s2st.features.speech_mel import MEL_HOP, MEL_RATE
from s2st.models.spectrogram_decoding import Spectrogram, SpectrogramModel
from s2st.pairing import target_languages
from s2st.speech_to_units import SpeechToUnits
from s2st.translator import SpeechTranslator, Translation, load_parts
from s2st.units import reduce

# A translation that lasts longer than this many times its source, and so many seconds, is cut.
LONGEST_RATIO, LONGEST_EXTRA_SECONDS = 2, 2


class SpectrogramTranslator(SpeechTranslator):
    """A model folder whose translator speaks spectrograms, loaded; Griffin-Lim is its voice."""

    def __init__(self, model: SpectrogramModel, speech_to_units: SpeechToUnits, directions: Sequence[str]) -> None:
        """`speech_to_units` tells the units of what was said, by which it is compared with other translators."""
        self.model, self.speech_to_units = model.eval(), speech_to_units
        self.directions = tuple(directions)
        self.max_source_frames = model.config.max_source_frames
        self.languages = frozenset(target_languages(directions))

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "SpectrogramTranslator":
        """Read a model folder; raises UserError as `load_parts` does."""
        parts = load_parts(folder, device, *checkpoint.SPECTROGRAM_MODELS)
        return cls(parts.translator, parts.speech_to_units, parts.directions)  # type: ignore[arg-type]

    def translate_batch(
        self, waveforms: Sequence[np.ndarray], sources: Sequence[str], to: str, options: SearchOptions | None = None
    ) -> list[Translation]:
        """Translate waveforms, whatever their languages; see SpeechTranslator. There is nothing to search."""
        if not waveforms:
            return []
        features, lengths = hear(waveforms, self.model.config.deltas, self.max_source_frames)
        device = next(self.model.parameters()).device
        found = say(self.model, features.to(device), lengths.to(device))
        spoken = [griffin_lim.speak_resampled(spectrogram.log_mel) for spectrogram in found]
        heard = [reduce(units) for units in self.speech_to_units(spoken)]
        nothing = np.zeros(0, np.int32)
        return [
            Translation(
                waveform,
                nothing,
                units,
                durations,
                spectrogram.finished,
                loops=not spectrogram.finished and ends_in_loop(units),
            )
            for waveform, (units, durations), spectrogram in zip(spoken, heard, found, strict=True)
        ]


def say(model: SpectrogramModel, features: Tensor, lengths: Tensor, seed: int = 0) -> list[Spectrogram]:
    """Say the translations of sources (B, frames, features) of lengths (B,), each cut far behind its source's end."""
    seconds = lengths * (MFCC_HOP / SAMPLE_RATE) * LONGEST_RATIO + LONGEST_EXTRA_SECONDS
    limits = (seconds * MEL_RATE / MEL_HOP / model.frames_per_step).ceil().long()
    return model.generate(features, lengths, limits.clamp(max=model.config.max_steps), seed)
