"""Mel cepstral distortion and dynamic time warping against those of fairseq's tasks/text_to_speech.py."""

import numpy as np
import pytest
import torch

from s2st.evaluation.mcd import mel_cepstral_distortion, warped_distance
from s2st.evaluation.warping import warping_cost, warping_path

text_to_speech = pytest.importorskip("fairseq.tasks.text_to_speech")
RATE = 16_000


def speech(seconds: float, seed: int) -> torch.Tensor:
    """Noise in syllables that go up and down."""
    generator = torch.Generator().manual_seed(seed)
    times = torch.arange(int(seconds * RATE)) / RATE
    envelope = (torch.sin(2 * np.pi * 3 * times + seed) + 1.1) * 0.05
    return torch.randn(len(times), generator=generator) * envelope + torch.sin(2 * np.pi * 200 * times) * envelope


@pytest.mark.parametrize("seconds", [(1.0, 1.0), (1.5, 0.7), (0.6, 2.0)])
def test_distortion_is_that_of_fairseq(seconds) -> None:
    one, other = speech(seconds[0], 0), speech(seconds[1], 1)
    ((theirs, _),) = text_to_speech.batch_mel_cepstral_distortion([one], [other], RATE, normalize_type="len1")
    assert mel_cepstral_distortion(one, other, RATE) == pytest.approx(float(theirs), abs=1e-4)
    ((total, _),) = text_to_speech.batch_mel_cepstral_distortion([one], [other], RATE, normalize_type=None)
    assert warped_distance(one, other, RATE)[0] == pytest.approx(float(total), rel=1e-5)


@pytest.mark.parametrize("shape", [(40, 40), (25, 60), (70, 20)])
def test_paths_are_those_of_fairseq(shape) -> None:
    distances = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    costs, _, paths = text_to_speech.batch_dynamic_time_warping(distances[None])
    assert warping_cost(distances.numpy()) == pytest.approx(costs[0, -1, -1].item())
    found = np.zeros(shape, int)
    found[warping_path(distances.numpy())] = 1
    assert (found == paths[0].numpy()).all()
