import numpy as np
import pytest
import torch

from s2st.evaluation.mcd import mel_cepstral_distortion


def test_speech_is_near_itself_and_its_slower_self() -> None:
    torch.manual_seed(0)
    seconds = torch.arange(16_000) / 16_000
    sweep = torch.sin(2 * np.pi * (200 + 600 * seconds) * seconds)
    slower = torch.sin(2 * np.pi * (200 + 600 * seconds / 1.2) * seconds / 1.2)
    assert mel_cepstral_distortion(sweep, sweep, 16_000) == pytest.approx(0, abs=1e-4)
    noise = mel_cepstral_distortion(sweep, torch.randn(16_000) * 0.1, 16_000)
    assert mel_cepstral_distortion(sweep, slower, 16_000) < noise / 2


def test_what_is_too_short_is_far() -> None:
    waveform = torch.sin(torch.arange(8_000.0))
    assert mel_cepstral_distortion(waveform, torch.zeros(0), 16_000) > 1
