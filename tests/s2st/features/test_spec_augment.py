"""SpecAugment: stripes only, behind the mean, and repeatable."""

import numpy as np
import pytest

from s2st.features.spec_augment import POLICIES, Masks, spec_augment


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_only_whole_stripes_are_hidden(policy: str) -> None:
    features = np.random.default_rng(0).normal(3, 1, (300, 80)).astype(np.float32)
    before = features.copy()
    found = spec_augment(features, POLICIES[policy], np.random.default_rng(1))
    assert (features == before).all()
    hidden = found != features
    assert hidden.any()
    np.testing.assert_array_equal(found[hidden], features.mean())
    np.testing.assert_array_equal(hidden, hidden.all(0)[None] | hidden.all(1)[:, None])
    np.testing.assert_array_equal(found, spec_augment(features, POLICIES[policy], np.random.default_rng(1)))


def test_short_utterances_keep_their_time() -> None:
    features = np.random.default_rng(0).normal(3, 1, (4, 80)).astype(np.float32)
    hidden = spec_augment(features, POLICIES["ss"], np.random.default_rng(0)) != features
    assert hidden.any()
    assert (hidden == hidden[0]).all()
    assert not hidden.all(1).any()  # in time a stripe may be a fifth of 4 frames: none
    assert spec_augment(np.zeros((0, 80), np.float32), POLICIES["lb"], np.random.default_rng(0)).shape == (0, 80)
    narrow = features[:, :20]
    assert spec_augment(narrow, Masks(1, 27, 1, 5, 1.0), np.random.default_rng(0)) is narrow
