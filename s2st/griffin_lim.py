"""The voice of spectrograms without a trained vocoder: Griffin-Lim finds phases for magnitudes.

Source: fast Griffin-Lim (Perraudin et al. 2013), as torchaudio has it; bands become frequencies by the pseudo-inverse
of the mel filters, as in fairseq's GriffinLimVocoder.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import griffinlim, resample

from s2st.audio import SAMPLE_RATE
from s2st.features.speech_mel import FFT_SIZE, MEL_HOP, MEL_RATE, mel_filters

ITERATIONS = 32
MOMENTUM = 0.99
LEAST_FRAMES = 4  # a shorter spectrogram has edges that cannot be reflected


def speak(log_mel: Tensor, iterations: int = ITERATIONS) -> Tensor:
    """Log-mel (T, 80) of `speech_log_mel` -> waveform (256 (T - 1),) in [-1, 1] at MEL_RATE, always the same.

    A spectrogram of fewer than LEAST_FRAMES frames becomes silence.
    """
    num_samples = MEL_HOP * max(0, len(log_mel) - 1)
    if len(log_mel) < LEAST_FRAMES:
        return torch.zeros(num_samples)
    magnitudes = (log_mel.float().cpu().exp() @ _frequencies()).clamp(min=0).T
    waveform = griffinlim(
        magnitudes,
        window=torch.hann_window(FFT_SIZE),
        n_fft=FFT_SIZE,
        hop_length=MEL_HOP,
        win_length=FFT_SIZE,
        power=1.0,
        n_iter=iterations,
        momentum=MOMENTUM,
        length=num_samples,
        rand_init=False,
    )
    return waveform.clamp(-1, 1)


def speak_resampled(log_mel: Tensor, iterations: int = ITERATIONS) -> np.ndarray:
    """Log-mel (T, 80) -> waveform (N,), float32 in [-1, 1], at SAMPLE_RATE."""
    waveform = speak(log_mel, iterations)
    if not len(waveform):
        return waveform.numpy()  # resample takes none
    return resample(waveform, MEL_RATE, SAMPLE_RATE).clamp(-1, 1).numpy()


@cache
def _frequencies() -> Tensor:
    """Pseudo-inverse of the mel filters: (80, FFT_SIZE / 2 + 1)."""
    return torch.linalg.pinv(mel_filters())
