"""Segments stay aligned to their units, and what a validation is given fits together."""

import numpy as np
import pyarrow as pa
import pytest

from s2st import audio
from trainers import vocoder_examples
from trainers.vocoder_examples import cut, stretch


def ramp(num_units: int, gain: float = 1.0) -> dict:
    """Speech in which every sample tells the unit that it belongs to."""
    units = np.arange(num_units)
    waveform = np.repeat((units + 1) / (2 * num_units), audio.HOP).astype(np.float32)
    return {
        "audio": {"bytes": audio.encode(waveform)},
        "num_samples": len(waveform),
        "units": units.tolist(),
        "gain": gain,
    }


def heard(waveform: np.ndarray, num_units: int, gain: float = 1.0) -> np.ndarray:
    return waveform.reshape(-1, audio.HOP)[:, 160] / gain * 2 * num_units - 1


def test_segments_stay_aligned():
    row, starts = ramp(50, gain=1.9), set()
    for seed in range(10):
        units, waveform = cut(row, 20, np.random.default_rng(seed))
        assert waveform.shape == (20 * audio.HOP,)
        np.testing.assert_allclose(heard(waveform, 50, 1.9), units, atol=0.05)
        starts.add(int(units[0]))
    assert len(starts) > 5


def test_short_utterances_are_repeated():
    units, waveform = cut(ramp(5), 12, np.random.default_rng(0))
    assert units.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1]
    np.testing.assert_allclose(heard(waveform, 5), units, atol=0.05)


@pytest.mark.parametrize("missing", [1, 1000])
def test_units_without_samples_are_not_cut(missing):
    row = ramp(20)
    row["num_samples"] -= missing
    ends = {int(cut(row, 10, np.random.default_rng(seed))[0][-1]) for seed in range(60)}
    assert max(ends) == 20 - 1 - -(-missing // audio.HOP)


def test_what_is_louder_than_1_is_clipped():
    _, waveform = stretch(ramp(10, gain=4.0), 0, 10)
    assert waveform.max() == 1
    assert waveform[0] == pytest.approx(0.2, abs=1e-4)


def test_what_a_validation_is_given(monkeypatch):
    """Full units have their samples, and reduced ones with their durations are the full ones."""
    given = {}
    monkeypatch.setattr(vocoder_examples, "JUDGED_FRAMES", 30)
    monkeypatch.setattr(vocoder_examples, "examples", lambda *args: given.update(collate=args[-2], join=args[-1]))
    monkeypatch.setattr(vocoder_examples, "JoinUnits", lambda rows, *_: rows["num_samples"].to_pylist())
    rows = pa.table({"num_samples": [2559, 2560, 2560], "units": [[1] * 8, [1] * 8, [1] * 7]})
    voices = vocoder_examples.Voices(("a",), ("en",), {"en": "a"})
    vocoder_examples.validation_examples("", rows, voices)
    assert given["join"] == [2560]
    short, long = ramp(12), ramp(40)
    short["units"] = [3, 3, 3, 1, 1, 3, 3, 3, 3, 2, 2, 2]
    batch = given["collate"]([short, long], np.random.default_rng(0))
    assert batch["lengths"].tolist() == [12, 30]
    assert batch["waveform"].shape == (2, 30 * audio.HOP)
    assert not batch["waveform"][0, 12 * audio.HOP :].any()
    assert batch["reduced"][0, :4].tolist() == [3, 1, 3, 2]
    assert batch["durations"][0, :5].tolist() == [3, 2, 4, 3, 0]
    assert batch["reduced_lengths"].tolist() == [4, 30]
