import numpy as np
import pytest
import torch

from s2st.evaluation.mcd import mel_cepstra, mel_cepstral_distortion, mel_cepstral_distortion_db
from s2st.evaluation.warping import warping_path


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


def test_decibels_are_of_the_spectrum_but_not_of_loudness() -> None:
    torch.manual_seed(0)
    noise = torch.randn(8_000) * 0.1
    assert mel_cepstral_distortion_db(noise, noise, 16_000) == pytest.approx(0, abs=1e-3)
    assert mel_cepstral_distortion_db(noise, 3 * noise, 16_000) == pytest.approx(0, abs=1e-2)
    assert mel_cepstral_distortion(noise, 3 * noise, 16_000) > 1
    assert mel_cepstral_distortion_db(noise, torch.cumsum(noise, 0), 16_000) > 1


def test_decibels_are_those_of_the_definition() -> None:
    """A pair of frames has the root mean square difference of log spectra, as far as 12 coefficients tell them."""
    torch.manual_seed(0)
    pair = torch.randn(2, 4000) * torch.tensor([[0.1], [0.2]])
    numbers, bands = torch.arange(1, 13)[:, None], torch.arange(80) + 0.5
    # back from the orthonormal cosine transform to the log amplitude of 80 bands, without its mean
    to_spectrum = (2 / 80) ** 0.5 * torch.cos(torch.pi * numbers * bands / 80) / 2
    one, other = (mel_cepstra(waveform, 16_000)[:, 1:] @ to_spectrum for waveform in pair)
    decibels = 10 / np.log(10) * (one[:, None] - other).square().mean(-1).sqrt().numpy()
    expected = decibels[warping_path(decibels)].mean()
    assert mel_cepstral_distortion_db(*pair, 16_000) == pytest.approx(expected, rel=1e-4)
