import numpy as np
import pytest
import torch

from s2st.evaluation.mcd import mel_cepstral_distortion, warping_cost


def slow_cost(distances: np.ndarray) -> float:
    """The recursion as textbooks have it."""
    cost = np.full((distances.shape[0] + 1, distances.shape[1] + 1), np.inf)
    cost[0, 0] = 0
    for i, row in enumerate(distances):
        for j, distance in enumerate(row):
            cost[i + 1, j + 1] = distance + min(cost[i, j], cost[i, j + 1], cost[i + 1, j])
    return cost[-1, -1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (7, 4), (4, 7), (6, 6)])
def test_the_best_path_is_found(shape) -> None:
    distances = np.random.default_rng(0).random(shape)
    assert warping_cost(distances) == pytest.approx(slow_cost(distances))


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
