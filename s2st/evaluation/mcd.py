"""Mel cepstral distortion of speech against a recording of what it should say, in two definitions.

As fairseq's tasks/text_to_speech.py measures it: 13 MFCC, dynamic time warping without constraints, and the root of the
mean squared difference, so that it is not in decibels. Unlike there, a path may be of any length.

In decibels (Kubichek 1993): 10 / ln 10 sqrt(2 sum over i = 1..12 of (c_i - c'_i)^2), the mean over the pairs of the
path that has the least sum of it. c is the cepstrum of the logarithm of the mel spectrum's amplitude, without c_0, the
loudness. It is made of the same MFCC, not by SPTK's mel-generalised analysis: compare it with figures made here.

Shapes: N samples, T frames of 12.5 ms.
"""

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torchaudio.transforms import MFCC

from s2st.evaluation.warping import warping_cost, warping_path

NUM_CEPSTRA = 13
WINDOW_SECONDS, HOP_SECONDS = 0.05, 0.0125
NUM_MELS = 80
LOWEST_HZ = 20
EXACT = "donot_use_mm_for_euclid_dist"
# of the orthonormal cosine transform of a log power spectrum to the cepstrum c of its log amplitude, which has
# log amplitude = c_0 + 2 sum of c_i cos(i w)
TO_CEPSTRUM = 0.5 / (2 * NUM_MELS) ** 0.5
TO_DECIBELS = 10 / math.log(10) * 2**0.5


def mel_cepstral_distortion(reference: np.ndarray | Tensor, waveform: np.ndarray | Tensor, sample_rate: int) -> float:
    """Distance of a waveform (N,) to a reference (N',), a frame of the reference."""
    distance, num_frames = warped_distance(reference, waveform, sample_rate)
    return distance / num_frames


def warped_distance(
    reference: np.ndarray | Tensor, waveform: np.ndarray | Tensor, sample_rate: int
) -> tuple[float, int]:
    """`mel_cepstral_distortion` of the whole, and the frames of the reference.

    fairseq's mcd_loss is the sum of the first over utterances, over the sum of the second.
    """
    expected, found = mel_cepstra(reference, sample_rate), mel_cepstra(waveform, sample_rate)
    distances = torch.cdist(expected, found, compute_mode=EXACT).numpy() / NUM_CEPSTRA**0.5
    return warping_cost(distances), len(expected)


def mel_cepstral_distortion_db(
    reference: np.ndarray | Tensor, waveform: np.ndarray | Tensor, sample_rate: int
) -> float:
    """Mean distance in decibels of a waveform (N,) to a reference (N',), over the pairs of frames of the best path."""
    expected, found = (mel_cepstra(samples, sample_rate)[:, 1:] * TO_CEPSTRUM for samples in (reference, waveform))
    distances = torch.cdist(expected, found, compute_mode=EXACT).numpy() * TO_DECIBELS
    return float(distances[warping_path(distances)].mean())


def mel_cepstra(waveform: np.ndarray | Tensor, sample_rate: int) -> Tensor:
    """MFCC of the logarithm of a mel spectrogram: waveform (N,) -> (T, 13); silence follows one of below 50 ms."""
    samples = torch.as_tensor(waveform, dtype=torch.float32)
    missing = int(WINDOW_SECONDS * sample_rate) - len(samples)
    return _mfcc(sample_rate)(torch.nn.functional.pad(samples, (0, max(0, missing)))).T


@functools.cache
def _mfcc(sample_rate: int) -> MFCC:
    window = int(WINDOW_SECONDS * sample_rate)
    spectrogram = {"n_fft": window, "win_length": window, "hop_length": int(HOP_SECONDS * sample_rate)}
    mels = {"f_min": LOWEST_HZ, "n_mels": NUM_MELS, "window_fn": torch.hann_window}
    return MFCC(sample_rate, NUM_CEPSTRA, log_mels=True, melkwargs={**spectrogram, **mels})
