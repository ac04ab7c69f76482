"""Scores against values worked out by hand."""

import numpy as np
import pytest

from s2st.evaluation.scores import (
    content_word_share,
    diversity,
    found_words,
    unit_bleu,
    unit_error_rate,
)


@pytest.mark.parametrize(
    ("reference", "heard", "found"),
    [
        (["red", "cup"], ["cup", "blue"], [False, True]),
        (["red", "red"], ["red"], [True, False]),
        (["red"], ["red", "red"], [True]),
        (["red"], [], [False]),
        ([], ["red"], []),
    ],
)
def test_found_words(reference: list[str], heard: list[str], found: list[bool]) -> None:
    assert found_words(reference, heard) == found


def test_content_word_share_counts_each_word_once() -> None:
    share = content_word_share([["red", "cup", "red"], ["big", "house"]], [["red", "cup"], []])
    assert (share.value, share.num_words) == (pytest.approx(2 / 5), 5)
    assert 0 <= share.low <= share.value <= share.high <= 1


def test_the_interval_is_by_sentence_and_seeded() -> None:
    references = [["word"]] * 100
    hypotheses = [["word"]] * 80 + [[]] * 20
    share = content_word_share(references, hypotheses)
    # binomial: 0.8 +- 1.96 * sqrt(0.8 * 0.2 / 100)
    assert share.low == pytest.approx(0.722, abs=0.015)
    assert share.high == pytest.approx(0.878, abs=0.015)
    assert content_word_share(references, hypotheses) == share
    assert content_word_share(references, hypotheses, seed=1) != share
    assert content_word_share(references, references).low == 1.0


def test_words_of_one_sentence_stand_or_fall_together() -> None:
    """Ten words in one sentence tell less than ten sentences."""
    one_by_one = content_word_share([["w"]] * 100, [["w"]] * 50 + [[]] * 50)
    by_ten = content_word_share([["w"] * 10] * 10, [["w"] * 10] * 5 + [[]] * 5)
    assert by_ten.value == one_by_one.value
    assert by_ten.high - by_ten.low > 2 * (one_by_one.high - one_by_one.low)


def test_a_sentence_without_content_words_changes_nothing_but_needs_company() -> None:
    share = content_word_share([["red"], []], [["red"], ["a"]])
    assert (share.value, share.low, share.high) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="no content words"):
        content_word_share([[]], [["red"]])


def test_unit_error_rate_reduces_both_sides() -> None:
    # 5 7 9 against 5 9: one deletion in three; then 1 1 2 is 1 2, which is right
    references = [np.array([5, 5, 7, 9, 9]), np.array([1, 1, 2])]
    hypotheses = [np.array([5, 9]), np.array([1, 2, 2])]
    assert unit_error_rate(references, hypotheses) == pytest.approx(1 / 5)
    assert unit_error_rate([[12]], [[1, 2]]) == pytest.approx(2)  # units are not digits
    assert unit_error_rate([[1, 2]], [[]]) == pytest.approx(1)


@pytest.mark.parametrize("score", [unit_error_rate, unit_bleu, content_word_share])
def test_sides_must_match(score) -> None:
    with pytest.raises(ValueError, match="2 references but 1 hypotheses"):
        score(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="nothing to score"):
        score([], [])


def test_rows_of_one_sentence_are_drawn_together():
    words = [["a", "b"]] * 40
    heard = [["a", "b"] if i % 2 else [] for i in range(40)]
    alone = content_word_share(words, heard)
    together = content_word_share(words, heard, sentences=["s1"] * 20 + ["s2"] * 20)
    few = content_word_share(words, heard, sentences=[str(i % 2) for i in range(40)])
    assert alone.value == together.value == few.value == 0.5
    assert together.low == together.high == 0.5  # both sentences are half right
    assert (few.low, few.high) == (0.0, 1.0)  # one is all right, the other all wrong


def test_unit_bleu_counts_units_as_words():
    rows = [[5, 6, 7, 8, 9, 5], [1, 2, 3, 4, 5, 6]]
    assert unit_bleu(rows, rows) == pytest.approx(100)
    assert unit_bleu(rows, [[5, 5, 6, 7, 8, 9, 5], [1, 2, 3, 4, 5, 6]]) == pytest.approx(100)  # reduced
    assert 0 < unit_bleu(rows, [[5, 6, 7, 8, 9, 5], [1, 2, 3, 4, 9, 9]]) < 100
    assert unit_bleu(rows, [[], []]) == 0


def test_diversity_is_that_of_hypotheses_over_that_of_references():
    references = [[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 7, 8]]
    assert diversity(references, references) == 1
    assert diversity(references, [[9, 8]] * 3) == 0
    assert diversity(references, [[]] * 3) == 0
    assert diversity(references, [[1, 2, 3, 4], [1, 2, 7, 8], [1, 2, 3, 4]]) == pytest.approx(0.5 / 0.75)
    assert diversity([[1, 2]] * 3, [[1, 2], [3, 4], [5, 6]]) == 1
