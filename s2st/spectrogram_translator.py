"""Speech to speech by spectrograms, on one device: waveform -> filterbank -> log-mel -> waveform."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2st import checkpoint, griffin_lim
from s2st.audio import SAMPLE_RATE, WINDOW
from s2st.features.filterbank import num_samples_of, source_features
from s2st.features.spectral import MFCC_HOP
from s2st.features.speech_mel import MEL_HOP, MEL_RATE
from s2st.models.spectrogram_decoding import Spectrogram, SpectrogramModel

# A translation that lasts longer than this many times its source, and so many seconds, is cut.
LONGEST_RATIO, LONGEST_EXTRA_SECONDS = 2, 2


@dataclass(frozen=True)
class SpokenTranslation:
    """One translated utterance."""

    waveform: np.ndarray  # (N,), float32 in [-1, 1], 16 kHz
    log_mel: np.ndarray  # (T, 80), float32, what it was made of
    finished: bool  # False if it was cut: the model did not say when to stop


class SpectrogramTranslator:
    """A model that speaks spectrograms, and Griffin-Lim as its voice."""

    def __init__(self, model: SpectrogramModel, directions: Sequence[str]) -> None:
        self.model, self.directions = model.eval(), tuple(directions)

    @classmethod
    def load(cls, folder: str, device: str = "cpu") -> "SpectrogramTranslator":
        """Read a model from the folder that its trainer wrote; raises UserError if there is none."""
        model, info = checkpoint.load(folder, *checkpoint.SPECTROGRAM_MODELS)
        return cls(model.to(device), info["directions"])  # type: ignore[arg-type]

    def __call__(self, waveforms: Sequence[np.ndarray], seed: int = 0) -> list[SpokenTranslation]:
        """Translate waveforms (N,), mono, 16 kHz, float32 in [-1, 1], as one batch.

        The prenet's dropout is drawn from `seed`. Raises ValueError for one that is shorter than 25 ms or longer than
        the model hears.
        """
        config = self.model.config
        longest = num_samples_of(config.max_source_frames)
        if wrong := [len(waveform) for waveform in waveforms if not WINDOW <= len(waveform) <= longest]:
            raise ValueError(f"a source of {wrong[0]} samples cannot be translated; give {WINDOW} to {longest}")
        if not waveforms:
            return []
        features = [source_features(waveform, config.deltas) for waveform in waveforms]
        lengths = torch.tensor([len(each) for each in features])
        device = next(self.model.parameters()).device
        found = say(self.model, pad_sequence(features, batch_first=True).to(device), lengths.to(device), seed)
        return [
            SpokenTranslation(griffin_lim.speak_resampled(each.log_mel), each.log_mel.cpu().numpy(), each.finished)
            for each in found
        ]


def say(model: SpectrogramModel, features: Tensor, lengths: Tensor, seed: int = 0) -> list[Spectrogram]:
    """Say the translations of sources (B, frames, features) of lengths (B,), each cut far behind its source's end."""
    seconds = lengths * (MFCC_HOP / SAMPLE_RATE) * LONGEST_RATIO + LONGEST_EXTRA_SECONDS
    limits = (seconds * MEL_RATE / MEL_HOP / model.frames_per_step).ceil().long()
    return model.generate(features, lengths, limits.clamp(max=model.config.max_steps), seed)
