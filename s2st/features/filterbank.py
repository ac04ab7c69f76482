"""What fairseq's speech-to-speech models hear: Kaldi's log mel filterbank, normalised over the utterance.

Features are float32 (T, D), T = num_fbank_frames(N) for a waveform of N samples; D is 80, or 240 with deltas.
Source: fairseq/data/audio/audio_utils.py (get_fbank) and fairseq/data/audio/feature_transforms.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2st.audio import SAMPLE_RATE, WINDOW
from s2st.config import UserError
from s2st.features.spectral import MFCC_HOP, log_mel, with_deltas

NUM_BANDS = 80
FULL_SCALE = 32768  # Kaldi takes 16-bit samples as they are
LOWEST_VARIANCE = 1e-10  # of a band


def num_fbank_frames(num_samples: int) -> int:
    """Count the frames of a waveform of so many samples."""
    return max(0, 1 + (num_samples - WINDOW) // MFCC_HOP)


def num_samples_of(num_frames: int) -> int:
    """Count the samples of the longest waveform that has so many frames."""
    return (num_frames - 1) * MFCC_HOP + WINDOW + MFCC_HOP - 1


def filterbank(waveform: np.ndarray | Tensor) -> Tensor:
    """Natural logarithm of the power in 80 mel bands, every 10 ms: (N,) in [-1, 1] -> (T, 80)."""
    return log_mel(torch.as_tensor(waveform, dtype=torch.float32) * FULL_SCALE, NUM_BANDS)


def normalize(features: Tensor) -> Tensor:
    """Bring each band of an utterance (T, D) to mean 0 and variance 1, as fairseq's utterance_cmvn does."""
    exact = features.double()
    mean = exact.mean(0)
    variance = (exact.square().mean(0) - mean.square()).clamp(min=LOWEST_VARIANCE)
    return ((exact - mean) / variance.sqrt()).float()


def source_features(waveform: np.ndarray | Tensor, deltas: bool = False) -> Tensor:
    """Normalised filterbank of an utterance (N,), with deltas beside it if asked: (T, 80) or (T, 240).

    Deltas are those of normalised bands, as `transforms: [utterance_cmvn, delta_deltas]` has them.
    """
    features = normalize(filterbank(waveform))
    return with_deltas(features) if deltas else features


def hear(waveforms: Sequence[np.ndarray], deltas: bool, max_frames: int) -> tuple[Tensor, Tensor]:
    """Normalised filterbanks of utterances (N_i,) as a batch: features (B, T, 80 or 240), lengths (B,).

    Raises UserError for one that has no frame or more than max_frames.
    """
    check_lengths(waveforms, max_frames)
    features = [source_features(waveform, deltas) for waveform in waveforms]
    return pad_sequence(features, batch_first=True), torch.tensor([len(each) for each in features])


def check_lengths(waveforms: Sequence[np.ndarray], max_frames: int) -> None:
    """Raise UserError for a waveform that has no frame or more than max_frames."""
    longest = num_samples_of(max_frames)
    for waveform in waveforms:
        if not WINDOW <= len(waveform) <= longest:
            raise UserError(
                f"a recording of {len(waveform) / SAMPLE_RATE:.2f} s cannot be translated; the model hears "
                f"{WINDOW / SAMPLE_RATE:.2f} to {longest / SAMPLE_RATE:.0f} s"
            )
