"""The log-mel spectrogram that fairseq's speech synthesis and S2SPECT learn: 80 bands at 22.05 kHz.

Unlike `spectral.log_mel` it takes magnitudes, not powers, windows of Hann, edges reflected, and Slaney's mel scale.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks, resample

from s2st.audio import SAMPLE_RATE

MEL_RATE = 22_050  # Hz
NUM_MELS = 80
FFT_SIZE = 1024  # samples of a window too
MEL_HOP = 256
LOWEST_HZ, HIGHEST_HZ = 20, 8_000
FLOOR = 1e-5  # magnitudes below it count as it


def to_mel_rate(waveform: np.ndarray | Tensor) -> Tensor:
    """Resample a waveform (N,) from SAMPLE_RATE to MEL_RATE."""
    return resample(torch.as_tensor(waveform, dtype=torch.float32), SAMPLE_RATE, MEL_RATE)


def num_mel_frames(num_samples: int) -> int:
    """Count the frames of a recording of so many samples at SAMPLE_RATE."""
    return 1 + -(-num_samples * MEL_RATE // SAMPLE_RATE) // MEL_HOP


def speech_log_mel(waveform: np.ndarray | Tensor) -> Tensor:
    """Natural logarithm of the magnitude in mel bands: (N,) at MEL_RATE, N > 512 -> (1 + N // 256, 80), float32."""
    samples = torch.as_tensor(waveform, dtype=torch.float32)
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(samples, FFT_SIZE, MEL_HOP, window=window, pad_mode="reflect", return_complex=True)
    return (spectrum.abs().T @ mel_filters()).clamp(min=FLOOR).log()


@cache
def mel_filters() -> Tensor:
    """Triangles of equal area, as librosa makes them by default: (FFT_SIZE / 2 + 1, NUM_MELS)."""
    return melscale_fbanks(FFT_SIZE // 2 + 1, LOWEST_HZ, HIGHEST_HZ, NUM_MELS, MEL_RATE, "slaney", "slaney")
