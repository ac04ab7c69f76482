"""Fundamental frequency of speech by YIN, and how well the melody of two waveforms agrees.

Source: de Cheveigné and Kawahara 2002, "YIN, a fundamental frequency estimator for speech and music". A frame whose
period does not come again well enough, or that is very soft, has no pitch.

Shapes: N samples, T frames of HOP samples (those of mel_distance), L lags.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s2st.audio import SAMPLE_RATE
from s2st.evaluation.mel_distance import HOP, Pairs, with_silence

LOWEST_HZ, HIGHEST_HZ = 60, 500  # of voices
WINDOW = 640  # samples that are compared with those a period later: 40 ms
DIP = 0.15  # of the normalised difference: the first lag below it is the period
SOFTEST = 0.01  # of the loudest frame's amplitude: -40 dB
LAGS = SAMPLE_RATE // LOWEST_HZ + 2


def pitch(waveform: np.ndarray) -> np.ndarray:
    """Fundamental frequency in Hz, 0 where there is none: waveform (N,) -> (T,), float32."""
    samples = with_silence(waveform).double()
    num_frames = len(samples) // HOP
    reach = WINDOW + LAGS
    before = (reach - HOP) // 2  # so that frames have the middles of those of the log-mel spectrogram
    padded = F.pad(samples, (before, reach))
    frames = padded.unfold(0, reach, HOP)[:num_frames]
    difference = _normalized_difference(frames)
    shortest = SAMPLE_RATE // HIGHEST_HZ
    inner = difference[:, shortest:-1]
    dips = (inner < DIP) & (inner <= difference[:, shortest - 1 : -2]) & (inner < difference[:, shortest + 1 :])
    period = dips.int().argmax(1) + shortest  # the first one
    level = frames.square().mean(1).sqrt()
    voiced = dips.any(1) & (level > SOFTEST * level.max())
    return (SAMPLE_RATE / _lowest_point(difference, period) * voiced).float().numpy()


def melody_agreement(reference: np.ndarray, found: np.ndarray, pairs: Pairs) -> tuple[float, float, float]:
    """Covariance and both variances, summed over frames, of the log pitch of paired frames voiced in both.

    Each is taken around the mean of the utterance, so that a higher voice is no error; (T,), (T',) -> sums, zeros where
    no frame is voiced in both. Added up over utterances, they give `correlation`.
    """
    left, right = reference[pairs[0]], found[pairs[1]]
    both = (left > 0) & (right > 0)
    if not both.any():
        return 0.0, 0.0, 0.0
    x, y = np.log(left[both], dtype=np.float64), np.log(right[both], dtype=np.float64)
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y), float(x @ x), float(y @ y)


def correlation(sums: np.ndarray) -> np.ndarray:
    """Pearson's correlation of sums (..., 3) of `melody_agreement` -> (...); nan where nothing varies."""
    covariance, variance, other = np.moveaxis(np.asarray(sums, np.float64), -1, 0)
    scale = np.sqrt(variance * other)
    return np.divide(covariance, scale, out=np.full(scale.shape, np.nan), where=scale > 0)


def _normalized_difference(frames: Tensor) -> Tensor:
    """Cumulative mean normalised difference (paper, equation 8): frames (T, WINDOW + LAGS) -> (T, LAGS)."""
    size = 1 << (WINDOW + LAGS).bit_length()
    spectrum = torch.fft.rfft(frames, size)
    window = torch.fft.rfft(frames[:, :WINDOW], size)
    products = torch.fft.irfft(window.conj() * spectrum, size)[:, :LAGS]
    energy = F.pad(frames.square().cumsum(1), (1, 0))
    energies = energy[:, WINDOW : WINDOW + LAGS] - energy[:, :LAGS]
    difference = (energies[:, :1] + energies - 2 * products).clamp(min=0)
    mean = difference[:, 1:].cumsum(1) / torch.arange(1, LAGS)
    normalized = difference[:, 1:] / mean.clamp(min=1e-12)
    return F.pad(normalized, (1, 0), value=1.0)


def _lowest_point(difference: Tensor, period: Tensor) -> Tensor:
    """Refine periods (T,) by the parabola through the neighbours of a dip of difference (T, L)."""
    before, at, after = (difference.gather(1, (period + step).unsqueeze(1)).squeeze(1) for step in (-1, 0, 1))
    bend = before - 2 * at + after
    return period + torch.where(bend > 1e-12, (before - after) / (2 * bend).clamp(min=1e-12), 0.0).clamp(-1, 1)
