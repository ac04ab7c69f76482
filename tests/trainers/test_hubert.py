import numpy as np
import pytest

from trainers.hubert import crop


@pytest.mark.parametrize("label_rate", [50, 100])
def test_crops_keep_labels_with_their_samples(label_rate):
    hop = 16_000 // label_rate
    waveform = np.repeat(np.arange(200), hop).astype(np.float32)
    for seed in range(10):
        cut, labels = crop(waveform, np.arange(200), label_rate, 50 * hop, np.random.default_rng(seed))
        assert len(cut) == 50 * hop
        assert cut[::hop].tolist() == labels.tolist()


def test_short_utterances_stay_whole():
    waveform, labels = crop(np.ones(100), np.arange(3), 50, 1000, np.random.default_rng(0))
    assert (len(waveform), len(labels)) == (100, 3)
