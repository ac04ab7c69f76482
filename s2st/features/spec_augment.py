"""SpecAugment (Park et al. 2019): stripes of a training utterance's features are hidden, in frequency and in time.

Same distribution as fairseq's SpecAugmentTransform (fairseq/data/audio/feature_transforms/specaugment.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np


@dataclass(frozen=True)
class Masks:
    """How many stripes, and how wide; each width is drawn from 0 to the largest, without it."""

    frequency_masks: int
    frequency_width: int  # features
    time_masks: int
    time_width: int  # frames
    time_share: float  # of the utterance that one stripe in time may be, at most


POLICIES: Mapping[str, Masks] = MappingProxyType(
    {
        "lb": Masks(1, 27, 1, 100, 1.0),
        "ld": Masks(2, 27, 2, 100, 1.0),
        "sm": Masks(2, 15, 2, 70, 0.2),
        "ss": Masks(2, 27, 2, 70, 0.2),
    }
)  # under the names of the paper: LibriSpeech basic and double, Switchboard mild and strong


def spec_augment(features: np.ndarray, masks: Masks, random: np.random.Generator) -> np.ndarray:
    """Hide stripes of features (T, D), float32, behind their mean; what is given stays as it is."""
    num_frames, num_features = features.shape
    if not num_frames or num_features < masks.frequency_width:
        return features
    hidden, mean = features.copy(), features.mean()
    for _ in range(masks.frequency_masks):
        width = random.integers(masks.frequency_width)
        first = random.integers(num_features - width)
        hidden[:, first : first + width] = mean
    longest = min(masks.time_width, int(num_frames * masks.time_share))
    for _ in range(masks.time_masks if longest else 0):
        length = random.integers(longest)
        first = random.integers(num_frames - length)
        hidden[first : first + length] = mean
    return hidden
