"""Pieces are the recording's own samples in their order; only what is no speech is left out."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from s2st import audio
from s2st.corpora.sample import Sample, SampleConfig
from s2st.pauses import MARGIN, PAUSE, WINDOW, PauseCutter, cut, load_detector


def loud(window):
    """Stand for silero-vad: whatever is loud is speech."""
    return float(np.abs(window).max() > 0.01)


def pieces_of(waveform, detect=loud, size=5_000, **options):
    blocks = [waveform[i : i + size] for i in range(0, len(waveform), size)]
    return list(cut(blocks, detect, **options))


@pytest.fixture(scope="module")
def prompts():
    """Three sentences of real speech."""
    root = Sample(SampleConfig()).root
    rows = pq.read_table(f"{root}/en_us/train/0000.parquet").slice(0, 3).column("audio").to_pylist()
    return [audio.decode(row["bytes"]) for row in rows]


def test_sentences_of_real_speech_come_apart_at_their_pauses(prompts):
    silence = np.zeros(audio.SAMPLE_RATE, np.float32)
    recording = np.concatenate([part for prompt in prompts for part in (prompt, silence)])
    pieces = pieces_of(recording, load_detector())
    assert len(pieces) == 3
    begin = 0
    for piece, prompt in zip(pieces, prompts, strict=True):
        np.testing.assert_array_equal(piece.waveform, recording[piece.start : piece.end])
        assert begin - MARGIN * WINDOW <= piece.start < begin + 0.4 * audio.SAMPLE_RATE
        assert abs(piece.end - begin - len(prompt)) < 0.4 * audio.SAMPLE_RATE
        begin += len(prompt) + len(silence)


def test_detectors_of_two_recordings_know_nothing_of_each_other(prompts):
    first, second = load_detector(), load_detector()
    windows = prompts[0][: 20 * WINDOW].reshape(-1, WINDOW)
    heard = []
    for window in windows:
        heard.append(first(window))
        second(np.zeros_like(window))
    alone = load_detector()
    assert heard == [alone(window) for window in windows]


@pytest.mark.parametrize("seed", range(5))
def test_pieces_are_all_that_is_loud_in_order_whatever_the_blocks(seed):
    random = np.random.default_rng(seed)
    parts = [random.uniform(-level, level, random.integers(3_000, 40_000)) for _ in range(8) for level in (0.001, 0.5)]
    recording = np.concatenate(parts).astype(np.float32)
    pieces = pieces_of(recording, size=int(random.integers(1_000, 50_000)), max_seconds=4.0)
    assert [piece.start for piece in pieces] == [piece.start for piece in pieces_of(recording, max_seconds=4.0)]
    rest = recording.copy()
    for before, piece in zip([None, *pieces], pieces, strict=False):
        np.testing.assert_array_equal(piece.waveform, recording[piece.start : piece.end])
        assert before is None or before.end <= piece.start
        assert len(piece.waveform) <= 4.0 * audio.SAMPLE_RATE
        rest[piece.start : piece.end] = 0
    assert np.abs(rest).max() <= 0.001


def test_a_speaker_who_never_pauses_is_cut_where_it_is_least_loud():
    recording = np.full(5 * audio.SAMPLE_RATE, 0.5, np.float32)
    recording[100 * WINDOW : 101 * WINDOW] = 0.1
    pieces = pieces_of(recording, max_seconds=4.0)
    assert [piece.start for piece in pieces] == [0, 101 * WINDOW]
    assert pieces[-1].end == len(recording)


def test_memory_does_not_grow_with_silence():
    cutter = PauseCutter(loud)
    for _ in range(50):
        assert list(cutter.add(np.zeros(audio.SAMPLE_RATE, np.float32))) == []
        assert len(cutter.windows) <= MARGIN
    loud_part = np.full(20 * WINDOW, 0.5, np.float32)
    assert list(cutter.add(loud_part)) == []
    (piece,) = cutter.add(np.zeros((PAUSE + 2) * WINDOW, np.float32))
    assert abs(piece.start - 50 * audio.SAMPLE_RATE) <= (MARGIN + 1) * WINDOW


def test_a_click_is_no_speech():
    recording = np.zeros(3 * audio.SAMPLE_RATE, np.float32)
    recording[20_000] = 1.0
    assert pieces_of(recording) == []


def test_pieces_too_short_for_a_pause_are_refused():
    with pytest.raises(ValueError, match="too short"):
        PauseCutter(loud, 1.0)
