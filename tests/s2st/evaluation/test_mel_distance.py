import numpy as np
import pytest
import torch

from s2st.evaluation.mel_distance import log_mel, mel_l1, same_time, warped
from s2st.models.losses import MelLoss

RANDOM = np.random.default_rng(0)


def test_at_the_same_time_it_is_the_loss_of_the_vocoder() -> None:
    true, made = (RANDOM.normal(0, 0.1, 8000).astype(np.float32) for _ in range(2))
    expected = MelLoss()(*(torch.from_numpy(waveform).unsqueeze(0) for waveform in (made, true)))
    mels = log_mel(true), log_mel(made)
    assert mel_l1(*mels, same_time(*mels)) == pytest.approx(float(expected), rel=1e-5)


def test_warping_forgives_another_tempo(tone) -> None:
    mel = log_mel(tone)
    slower = mel.repeat(2, axis=0)
    assert mel_l1(mel, slower, warped(mel, slower)) == 0
    assert mel_l1(mel, slower, same_time(mel, slower)) > 0.1


def test_what_is_shorter_than_a_frame_is_followed_by_silence(tone) -> None:
    mel, silence = log_mel(tone), log_mel(tone[:0])
    assert len(silence) == 4
    assert np.isfinite(mel_l1(mel, silence, warped(mel, silence)))
