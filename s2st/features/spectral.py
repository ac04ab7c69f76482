"""Spectral features as Kaldi computes them: log-mel, MFCC with deltas, stacked MFCC.

Each function takes one waveform (N,), numpy or torch, and gives float32 features (T, D), torch; a waveform
shorter than a window gives T = 0. Windows, filters and transforms are made once.
"""

from functools import cache
from math import log, pi

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from s2st.audio import HOP, SAMPLE_RATE, WINDOW

MFCC_HOP = 160  # samples: 10 ms
FFT_SIZE = 512  # the power of two from WINDOW on
PREEMPHASIS = 0.97
LOWEST_HZ = 20.0
NUM_CEPSTRA = 13
NUM_MFCC_MELS = 23
LIFTER = 22.0
FRAMES_AT_ONCE = 600  # windows that are worked on at once: most utterances whole, as each transform is planned anew


def log_mel(waveform: np.ndarray | Tensor, num_mels: int = 80, hop: int = MFCC_HOP) -> Tensor:
    """Natural logarithm of the power in mel bands, every `hop` samples: (N,) -> (T, num_mels)."""
    samples = torch.as_tensor(waveform, dtype=torch.float32)
    if len(samples) < WINDOW:
        return torch.zeros(0, num_mels)
    num_windows = 1 + (len(samples) - WINDOW) // hop
    padded = torch.zeros(FRAMES_AT_ONCE, FFT_SIZE)  # padding inside rfft is several times slower
    parts = []
    for start in range(0, num_windows, FRAMES_AT_ONCE):
        stop = min(start + FRAMES_AT_ONCE, num_windows)
        stretch = samples[start * hop : (stop - 1) * hop + WINDOW]
        parts.append(_log_mel_of(stretch, hop, padded[: stop - start], num_mels))
    return torch.cat(parts)


def _log_mel_of(stretch: Tensor, hop: int, padded: Tensor, num_mels: int) -> Tensor:
    """Samples of T windows -> (T, num_mels); `padded` (T, FFT_SIZE) is scratch, zero from WINDOW on.

    Up to the window each step is rounded as Kaldi rounds it: any shorter way doubles the difference to its MFCC. A
    window's first sample stands in for the one before it.
    """
    windows = stretch.unfold(0, WINDOW, hop)
    centred = windows - windows.mean(1, keepdim=True)
    windowed = padded[:, :WINDOW]
    before = PREEMPHASIS * centred
    torch.sub(centred[:, 1:], before[:, :-1], out=windowed[:, 1:])
    torch.sub(centred[:, 0], before[:, 0], out=windowed[:, 0])
    windowed *= _window()
    spectrum = torch.view_as_real(torch.fft.rfft(padded)).flatten(1)
    power = (spectrum.square_() @ _power_filters(num_mels))[:, :num_mels]
    return power.clamp_(min=torch.finfo(torch.float32).eps).log_()


def mfcc(waveform: np.ndarray | Tensor) -> Tensor:
    """13 MFCC, their deltas and the deltas of these, at 100 Hz: (N,) -> (T, 39).

    Equal to what fairseq dumps for the first iteration of HuBERT.
    """
    return with_deltas(_cepstra(waveform))


def with_deltas(features: Tensor) -> Tensor:
    """Put the slopes of features beside them, and the slopes of these: (T, D) -> (T, 3D)."""
    deltas = _deltas(features)
    return torch.cat([features, deltas, _deltas(deltas)], dim=1)


def stacked_mfcc(waveform: np.ndarray | Tensor) -> Tensor:
    """13 MFCC of five neighbouring 10 ms frames side by side, at 50 Hz: (N,) -> (T, 65), T = num_frames(N).

    The middle one covers the same 25 ms as HuBERT's frame. Clusters of these last longer than those of `mfcc`
    and differ less between two readings of a sentence.
    """
    cepstra = _cepstra(waveform)
    if len(cepstra) == 0:
        return torch.zeros(0, 5 * NUM_CEPSTRA)
    return _repeat_edges(cepstra).unfold(0, 5, HOP // MFCC_HOP).transpose(1, 2).flatten(1)


def _cepstra(waveform: np.ndarray | Tensor) -> Tensor:
    return log_mel(waveform, NUM_MFCC_MELS) @ _cosines()


def _deltas(features: Tensor) -> Tensor:
    """Slope over five frames, edges repeated: (T, D) -> (T, D)."""
    if len(features) == 0:
        return features
    padded = _repeat_edges(features)
    far, near = padded[4:] - padded[:-4], padded[3:-1] - padded[1:-3]
    return (2 * far + near) / 10


def _repeat_edges(features: Tensor) -> Tensor:
    return torch.cat([features[:1], features[:1], features, features[-1:], features[-1:]])


@cache
def _window() -> Tensor:
    """Kaldi's own ("povey"): Hann to the power 0.85."""
    return torch.hann_window(WINDOW, periodic=False).pow(0.85)


@cache
def _power_filters(num_mels: int) -> Tensor:
    """Triangles that are equally wide on the mel scale, for squares of real and imaginary parts in turn.

    (FFT_SIZE + 2, num_mels or more): with empty columns to a multiple of 8, the product takes half the time.
    """
    lowest, highest = (1127 * log(1 + hz / 700) for hz in (LOWEST_HZ, SAMPLE_RATE / 2))
    step = (highest - lowest) / (num_mels + 1)
    hz = torch.arange(FFT_SIZE // 2 + 1, dtype=torch.float64) * SAMPLE_RATE / FFT_SIZE
    position = (1127 * torch.log1p(hz / 700) - lowest)[:, None] / step - torch.arange(num_mels)
    filters = torch.minimum(position, 2 - position).clamp(min=0)
    filters[-1] = 0  # Kaldi leaves out the Nyquist frequency
    return functional.pad(filters.float(), (0, -num_mels % 8)).repeat_interleave(2, dim=0)


@cache
def _cosines() -> Tensor:
    """Orthonormal discrete cosine transform with Kaldi's lifter: (NUM_MFCC_MELS, NUM_CEPSTRA)."""
    mel = torch.arange(NUM_MFCC_MELS, dtype=torch.float64)[:, None]
    order = torch.arange(NUM_CEPSTRA, dtype=torch.float64)
    cosines = torch.cos(pi / NUM_MFCC_MELS * (mel + 0.5) * order) * (2 / NUM_MFCC_MELS) ** 0.5
    cosines[:, 0] = (1 / NUM_MFCC_MELS) ** 0.5
    return (cosines * (1 + LIFTER / 2 * torch.sin(pi * order / LIFTER))).float()
