"""The filterbank against torchaudio's, its normalisation and deltas against fairseq's definition."""

import numpy as np
import pytest
import torch
from torchaudio.compliance import kaldi
from torchaudio.functional import compute_deltas

from s2st.features.filterbank import NUM_BANDS, filterbank, normalize, num_fbank_frames, num_samples_of, source_features


@pytest.mark.parametrize("num_samples", [399, 400, 559, 560, 16_000, 130_001])
def test_equal_to_torchaudio(num_samples: int) -> None:
    waveform = np.random.default_rng(0).normal(0, 0.1, num_samples).astype(np.float32)
    found = filterbank(waveform)
    assert found.shape == (num_fbank_frames(num_samples), NUM_BANDS)
    if len(found):
        expected = kaldi.fbank(torch.from_numpy(waveform)[None] * 2**15, num_mel_bins=80, sample_frequency=16_000)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_normalized_over_the_utterance() -> None:
    features = torch.randn(200, 80) * torch.rand(80) * 5 + torch.randn(80) * 10
    found = normalize(features)
    torch.testing.assert_close(found.mean(0), torch.zeros(80), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.var(0, correction=0), torch.ones(80), atol=1e-5, rtol=1e-5)
    assert (normalize(torch.ones(9, 80)) == 0).all()  # a band without variance is no division by zero


def test_deltas_lie_beside_the_bands(tone) -> None:
    bands, found = source_features(tone), source_features(tone, deltas=True)
    deltas = compute_deltas(bands.T)
    expected = torch.cat([bands.T, deltas, compute_deltas(deltas)]).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_samples_and_frames() -> None:
    for frames in (1, 2, 77):
        assert num_fbank_frames(num_samples_of(frames)) == frames
        assert num_fbank_frames(num_samples_of(frames) + 1) == frames + 1
