"""Peaks of recordings, and the gains that bring voices to one level."""

import numpy as np
import pyarrow as pa
import pytest

from s2st import audio
from s2st.schemas import MANIFEST
from stages import datasets
from trainers import loudness
from trainers.loudness import PEAK, read_peaks, speaker_gains, with_gains


def rows(*kinds: tuple[str, str]) -> pa.Table:
    names = [str(number) for number in range(len(kinds))]
    return pa.table({"utterance_id": names, "speaker": [k[0] for k in kinds], "split": [k[1] for k in kinds]})


def test_peaks_are_found_once(local_ray, tmp_path, tone, monkeypatch):
    recordings = [
        {"utterance_id": str(number), "audio": {"bytes": audio.encode(tone * number / 4)}, "num_samples": len(tone)}
        for number in range(1, 5)
    ]
    datasets.write_table(pa.Table.from_pylist(recordings, MANIFEST), str(tmp_path / "manifest"))
    wanted, file = pa.array(["1", "4"]), str(tmp_path / "out" / "peaks.parquet")
    found = read_peaks(str(tmp_path / "manifest"), wanted, file)
    peaks = dict(zip(found["utterance_id"].to_pylist(), found["peak"].to_pylist(), strict=True))
    peak = float(np.abs(tone).max())
    assert peaks == {"1": pytest.approx(peak / 4, abs=1e-4), "4": pytest.approx(peak, abs=1e-4)}
    monkeypatch.setattr(loudness.datasets, "read_shards", None)  # after a kill, no recording is read again
    assert read_peaks(str(tmp_path / "manifest"), wanted, file) == found


def test_a_speaker_has_one_gain_and_a_click_does_not_move_it():
    """What is softer than the speaker's other recordings stays so."""
    quiet = np.array([0.1] * 40 + [0.2] * 60 + [1.0])  # the last one is a click
    gains = speaker_gains(rows(*[("a", "train")] * 101), quiet)
    assert gains == {"a": pytest.approx(PEAK / 0.2)}
    assert speaker_gains(rows(("a", "train"), ("a", "train")), np.array([0.1, 0.5])) == {"a": pytest.approx(PEAK / 0.5)}


def test_the_gain_of_a_trained_speaker_does_not_come_from_the_validation_split():
    gains = speaker_gains(rows(("a", "train"), ("a", "validation"), ("b", "validation")), np.array([0.5, 0.9, 0.25]))
    assert gains == {"a": pytest.approx(PEAK / 0.5), "b": pytest.approx(PEAK / 0.25)}


def test_gains_find_their_rows():
    peaks = pa.table({"utterance_id": ["2", "0", "1"], "peak": [0.25, 0.5, 0.1]})
    given = rows(("a", "train"), ("a", "train"), ("b", "train"))
    by_file = with_gains(given, peaks, "utterance")["gain"].to_pylist()
    assert by_file == pytest.approx([PEAK / 0.5, PEAK / 0.1, PEAK / 0.25])
    by_speaker = with_gains(given, peaks, "speaker")["gain"].to_pylist()
    assert by_speaker == pytest.approx([PEAK / 0.5, PEAK / 0.5, PEAK / 0.25])
