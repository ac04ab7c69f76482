import math

import numpy as np
import pytest

from s2st.denoising import SpanMasking, mask_spans, span_lengths

MASK = 999


def test_spans_cover_the_share_of_tokens_that_is_asked_for():
    """Tokens that are not covered stay, in their order; masks are as many as spans."""
    random = np.random.default_rng(0)
    for _ in range(50):
        noised = mask_spans(np.arange(200), MASK, SpanMasking(0.3), random)
        left = noised[noised != MASK]
        assert (np.diff(left) > 0).all()
        assert 200 - 60 <= len(left) <= 200 - 30
        assert 5 < (noised == MASK).sum() < 40


def test_lengths_of_spans_are_of_the_poisson_distribution():
    random = np.random.default_rng(0)
    lengths = [span_lengths(600, 3.5, random) for _ in range(200)]
    assert {int(drawn.sum()) for drawn in lengths} == {600}
    whole = np.concatenate([drawn[:-1] for drawn in lengths])  # the last one is cut
    assert whole.mean() == pytest.approx(3.5, rel=0.02)
    for length in range(8):
        expected = math.exp(-3.5) * 3.5**length / math.factorial(length)
        assert (whole == length).mean() == pytest.approx(expected, abs=0.01)


def test_short_sequences_are_noised_too():
    random = np.random.default_rng(0)
    assert len(mask_spans(np.array([], np.int64), MASK, SpanMasking(), random)) == 0
    for _ in range(20):
        assert MASK in mask_spans(np.array([4, 5]), MASK, SpanMasking(), random)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="mask_ratio=1.5 must lie between 0 and 1"):
        SpanMasking(1.5)
    with pytest.raises(ValueError, match="poisson_lambda=0 must be above 0"):
        SpanMasking(poisson_lambda=0)
