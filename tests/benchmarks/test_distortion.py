import pytest

from benchmarks import distortion

pytest.importorskip("fairseq.tasks.text_to_speech")


def test_ours_is_equal_and_both_are_timed():
    rows = {row.name: row for row in distortion.run(seconds=1.0, num_pairs=1, runs=1)}
    assert rows["measures.mcd_difference"].ours < 1e-4
    assert rows["measures.dtw"].ratio > 0
    assert rows["measures.mcd"].ratio > 0
