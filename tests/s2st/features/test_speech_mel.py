import numpy as np
import pytest
import torch

from s2st.features.speech_mel import FLOOR, MEL_RATE, speech_log_mel, to_mel_rate


@pytest.mark.parametrize("samples", [513, 1024, 5000])
def test_frames_are_centred_every_256_samples(samples):
    assert speech_log_mel(np.zeros(samples, np.float32)).shape == (1 + samples // 256, 80)


def test_silence_is_the_floor():
    mel = speech_log_mel(np.zeros(2000, np.float32))
    torch.testing.assert_close(mel, torch.full_like(mel, float(np.log(FLOOR))))


def test_a_tone_keeps_its_band_when_resampled():
    for hz in (300, 1000, 5000):
        low, high = (np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32) for rate in (16_000, MEL_RATE))
        resampled = to_mel_rate(low)
        assert len(resampled) == MEL_RATE
        assert speech_log_mel(resampled)[40].argmax() == speech_log_mel(high)[40].argmax()
