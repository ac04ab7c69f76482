"""SpecAugment against fairseq's: how much is hidden, and where, over many draws."""

import numpy as np
import pytest

from s2st.features.spec_augment import POLICIES, spec_augment

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.data.audio.feature_transforms.specaugment import SpecAugmentTransform

DRAWS = 3000


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("num_frames", [60, 400])
def test_same_distribution(policy: str, num_frames: int) -> None:
    masks, random = POLICIES[policy], np.random.default_rng(0)
    theirs = SpecAugmentTransform(
        0,
        masks.frequency_masks,
        masks.frequency_width,
        masks.time_masks,
        masks.time_width,
        masks.time_share,
        mask_value=None,
    )
    np.random.seed(0)
    features = np.random.default_rng(1).normal(0, 1, (num_frames, 80)).astype(np.float32)
    draws = [(spec_augment(features, masks, random), theirs(features)) for _ in range(DRAWS)]
    for axis in (0, 1):  # the share of draws that hide each feature, and each frame, within 5 standard errors
        ours, expected = (
            np.mean([(side != features).all(axis) for side in sides], 0) for sides in zip(*draws, strict=True)
        )
        errors = np.sqrt((expected * (1 - expected) + 0.002) * 2 / DRAWS)
        assert (np.abs(ours - expected) < 5 * errors).all()
        assert expected.max() > 0.02
