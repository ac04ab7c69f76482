import torch

from trainers.log import picture


def test_pictures_of_speech_have_high_bands_above_and_bear_any_length():
    time = torch.arange(16_000) / 16_000
    low, high = (picture(0.5 * torch.sin(2 * torch.pi * hertz * time)) for hertz in (300, 3000))
    assert low.shape == (80, 62)
    assert 0 <= low.min() < low.max() <= 1
    assert high.mean(1).argmax() < low.mean(1).argmax()
    assert picture(torch.zeros(320)).max() < 0.01
