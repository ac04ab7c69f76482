import math

import numpy as np
import pytest

from s2st.evaluation import unit_quality
from s2st.evaluation.unit_quality import (
    Reading,
    entropy_bits,
    phone_scores,
    phones_at,
    unit_distance,
    voice_scores,
)


def test_a_small_table_by_hand():
    """Phone a: 3 frames of unit 7, 1 of unit 9. Phone b: 4 frames of unit 9."""
    scores = phone_scores(np.array(list("aaaabbbb")), np.array([7, 7, 7, 9, 9, 9, 9, 9]))
    # I = 3/8 log2(3/8 / (4/8 3/8)) + 1/8 log2(1/8 / (4/8 5/8)) + 4/8 log2(4/8 / (4/8 5/8)), H = 1 bit
    assert scores.pnmi == pytest.approx(3 / 8 + math.log2(0.4) / 8 + math.log2(1.6) / 2)
    assert scores.phone_purity == (3 + 4) / 8
    assert scores.cluster_purity == (3 + 4) / 8
    finer = phone_scores(np.array(list("aaaabbbb")), np.array([7, 7, 7, 9, 8, 8, 6, 6]))
    assert (finer.pnmi, finer.phone_purity, finer.cluster_purity) == (pytest.approx(1), 1, (3 + 2) / 8)


def test_units_that_are_the_phones_have_all_scores_one():
    phones = np.random.default_rng(0).integers(30, size=2000)
    scores = phone_scores(phones, 29 - phones)
    assert (scores.pnmi, scores.phone_purity, scores.cluster_purity) == (pytest.approx(1), 1, 1)


def test_units_drawn_at_random_tell_nothing():
    draw = np.random.default_rng(0)
    phones, units = draw.choice(4, p=[0.4, 0.3, 0.2, 0.1], size=200_000), draw.integers(10, size=200_000)
    scores = phone_scores(phones, units)
    assert 0 < scores.pnmi < 0.001
    assert scores.phone_purity == pytest.approx(0.4, abs=0.01)  # the most frequent phone, whatever the unit
    assert scores.cluster_purity == pytest.approx(0.1, abs=0.01)


def test_numbers_of_units_and_names_of_phones_mean_nothing():
    draw = np.random.default_rng(1)
    phones, units = draw.integers(5, size=500), draw.integers(20, size=500)
    renamed = phone_scores(np.array(list("edcba"))[phones], draw.permutation(1000)[units])
    same = phone_scores(phones, units)
    assert (renamed.phone_purity, renamed.cluster_purity) == (same.phone_purity, same.cluster_purity)
    assert renamed.pnmi == pytest.approx(same.pnmi)


@pytest.mark.parametrize(("phones", "units"), [([], []), (["a"], [1]), (["a", "a"], [1, 2]), (["a", "b"], [1])])
def test_what_cannot_be_scored_is_refused(phones, units):
    with pytest.raises(ValueError, match="phone"):
        phone_scores(np.array(phones), np.array(units))


def test_each_sample_has_the_phone_that_started_last():
    found = phones_at(np.array([0, 99, 100, 250, 900]), ["sil", "a", "b"], [0, 100, 250])
    assert found.tolist() == ["sil", "sil", "a", "b", "b"]


def test_entropy_is_that_of_equally_frequent_ones():
    assert entropy_bits([5, 5, 0, 5, 5]) == 2
    assert entropy_bits([3]) == entropy_bits([0, 0]) == 0


def test_distance_is_of_reduced_units_and_never_above_one():
    assert unit_distance(np.array([1, 1, 2, 2, 2, 3]), np.array([1, 2, 3, 3])) == 0
    assert unit_distance(np.array([1, 2, 3, 4]), np.array([1, 9, 3])) == 2 / 4
    assert unit_distance(np.array([1, 2]), np.array([3, 4, 5, 6])) == 1
    assert unit_distance(np.array([], int), np.array([3, 4])) == 1
    assert unit_distance(np.array([], int), np.array([], int)) == 0


def test_voices_that_speak_alike_are_told_from_those_that_do_not():
    contents = {f"s{i}": np.random.default_rng(i).integers(50, size=40) for i in range(6)}
    alike = [Reading(s, voice, units) for s, units in contents.items() for voice in ("m", "f")]
    scores = voice_scores(alike)
    assert (scores.num_pairs, scores.same_sentence) == (6, 0)
    assert scores.other_sentence > 0.8
    apart = [Reading(s, voice, units + (50 if voice == "f" else 0)) for (s, voice, units) in map(_fields, alike)]
    assert voice_scores(apart).same_sentence == 1
    assert voice_scores(apart) == voice_scores(apart)  # the same draws each time


def test_a_voice_that_reads_twice_is_compared_once_and_not_with_itself():
    readings = [Reading(s, v, np.array([1, 2])) for s in ("s", "t") for v in ("m", "m", "f", "x")]
    assert voice_scores(readings).num_pairs == 2 * 3
    assert voice_scores([Reading("s", "m", np.array([1])), Reading("t", "f", np.array([1]))]) is None
    assert voice_scores([Reading("s", "m", np.array([1])), Reading("s", "f", np.array([1]))]) is None


def test_of_many_pairs_of_voices_some_are_drawn(monkeypatch):
    random = np.random.default_rng(0)
    readings = [Reading(f"s{s}", f"v{v}", random.integers(20, size=9)) for s in range(3) for v in range(12)]
    every = voice_scores(readings)
    assert every.num_pairs == 3 * 66
    monkeypatch.setattr(unit_quality, "MAX_PAIRS", 100)
    some = voice_scores(readings, 1)
    assert some.num_pairs == 100
    assert some == voice_scores(readings, 1) != voice_scores(readings, 2)
    assert some.same_sentence == pytest.approx(every.same_sentence, abs=0.05)


def test_chance_is_never_the_sentence_itself():
    """Two sentences that share no unit: whichever is drawn beside one of them is as far as can be."""
    readings = [Reading(s, v, np.array(units)) for s, units in (("s", [1, 2]), ("t", [3, 4])) for v in "mfxyz"]
    assert voice_scores(readings).other_sentence == 1


def _fields(reading):
    return reading.sentence_id, reading.speaker, reading.units
