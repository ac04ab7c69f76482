"""Mean absolute difference of log-mel spectrograms (the mel loss of HiFi-GAN), and which frames it compares.

Shapes: N samples, M mel bands, T frames of HOP samples, P pairs of frames.
"""

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from s2st.evaluation.warping import warping_path
from s2st.models.losses import LogMel

HOP = 256  # samples: 16 ms, as in the loss
SHORTEST = 1024  # samples

Pairs = tuple[np.ndarray, np.ndarray]  # frames (P,) of the reference and of what is compared with it


def log_mel(waveform: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram of s2st.models.losses: waveform (N,) -> (T, M), float32, natural logarithm."""
    return _log_mel()(with_silence(waveform).unsqueeze(0))[0].T.numpy()


def with_silence(waveform: np.ndarray) -> Tensor:
    """Put silence after a waveform (N,) of less than SHORTEST samples, float32."""
    samples = torch.as_tensor(waveform, dtype=torch.float32)
    return F.pad(samples, (0, max(0, SHORTEST - len(samples))))


def same_time(reference: np.ndarray, found: np.ndarray) -> Pairs:
    """Pair frames of (T, M) and (T', M) that come at the same time; the longer one's rest is left out."""
    frames = np.arange(min(len(reference), len(found)))
    return frames, frames


def warped(reference: np.ndarray, found: np.ndarray) -> Pairs:
    """Pair frames of log-mel spectrograms (T, M) and (T', M) by dynamic time warping."""
    distances = torch.cdist(torch.from_numpy(reference), torch.from_numpy(found), p=1).numpy()
    return warping_path(distances)


def mel_l1(reference: np.ndarray, found: np.ndarray, pairs: Pairs) -> float:
    """Mean absolute difference of the paired frames of log-mel spectrograms (T, M) and (T', M)."""
    return float(np.abs(reference[pairs[0]] - found[pairs[1]]).mean())


@functools.cache
def _log_mel() -> LogMel:
    return LogMel(hop=HOP)
