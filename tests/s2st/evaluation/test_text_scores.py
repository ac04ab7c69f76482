"""Scores against values worked out by hand, and against the libraries that have them."""

import random

import jiwer
import numpy as np
import pytest
import sacrebleu

from s2st.evaluation.text_scores import bleu, character_error_rate, chrf, word_error_rate

SCORES = [word_error_rate, character_error_rate, bleu, chrf]
WORDS = ["the", "red", "tea", "cup", "is", "here", "open", "door", "now", "please", "where", "are", "my", "books"]


def corpus(num_rows: int = 60, seed: int = 0) -> tuple[list[str], list[str]]:
    """Random sentences, and what is heard of them: some words are lost or wrong, and some sentences all."""
    draw = random.Random(seed)
    references = [" ".join(draw.choices(WORDS, k=draw.randint(4, 9))) for _ in range(num_rows)]
    heard = [
        " ".join(word if draw.random() < 0.8 else draw.choice(["", "uh"]) for word in r.split()) for r in references
    ]
    return references, ["" if draw.random() < 0.1 else text for text in heard]


def test_word_error_rate_is_of_the_whole_corpus() -> None:
    # 1 of 4 words is wrong, then 1 of 1: 2 errors in 5 words, not the mean of 1/4 and 1
    assert word_error_rate(["the red tea cup", "yes"], ["the red tea cap", "no"]) == pytest.approx(2 / 5)


def test_an_empty_hypothesis_is_all_deletions() -> None:
    assert word_error_rate(["one two three", "four"], ["", "four"]) == pytest.approx(3 / 4)
    assert character_error_rate(["abcd", "xy"], ["", "xy"]) == pytest.approx(4 / 6)


def test_insertions_can_exceed_one() -> None:
    assert word_error_rate(["one"], ["one two three"]) == pytest.approx(2)


def test_character_error_rate_counts_hangul_by_syllable() -> None:
    assert character_error_rate(["책을"], ["책은"]) == pytest.approx(1 / 2)


def test_bleu_of_one_wrong_word() -> None:
    # precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty: the fourth root of their product, 1/5
    one_wrong = bleu(["a b c d e"], ["a b c d x"])
    assert one_wrong.value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)


def test_what_is_perfect_has_100_and_what_is_empty_0() -> None:
    references, _ = corpus()
    for score in (bleu, chrf):
        perfect, nothing = score(references, references), score(references, [""] * len(references))
        assert (perfect.value, perfect.low, perfect.high) == pytest.approx((100, 100, 100))
        assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
        assert score(references, [*references[1:], ""]).value < 100
    assert word_error_rate(references, references) == character_error_rate(references, references) == 0
    assert word_error_rate(references, [""] * len(references)) == 1


def test_scores_are_those_of_the_libraries() -> None:
    references, heard = corpus()
    assert bleu(references, heard).value == sacrebleu.corpus_bleu(heard, [references]).score
    assert chrf(references, heard).value == sacrebleu.corpus_chrf(heard, [references]).score
    assert word_error_rate(references, heard) == jiwer.wer(references, heard)
    assert character_error_rate(references, heard) == jiwer.cer(references, heard)
    cased = bleu(["猫がいる。", "Ab"], ["猫がいた。", "aB"], "char", lowercase=True)
    expected = sacrebleu.BLEU(tokenize="char", lowercase=True)
    assert cased.value == expected.corpus_score(["猫がいた。", "aB"], [["猫がいる。", "Ab"]]).score
    assert cased.signature == str(expected.get_signature())
    assert f"tok:char|smooth:exp|version:{sacrebleu.__version__}" in cased.signature


def test_intervals_agree_with_those_of_sacrebleu() -> None:
    references, heard = corpus()
    for score, metric in ((bleu, sacrebleu.BLEU()), (chrf, sacrebleu.CHRF())):
        found, theirs = score(references, heard), metric.corpus_score(heard, [references], n_bootstrap=1000)
        assert found.low < found.value < found.high
        assert (found.low + found.high) / 2 == pytest.approx(theirs._mean, abs=0.1 * float(theirs._ci))
        assert (found.high - found.low) / 2 == pytest.approx(float(theirs._ci), rel=0.1)


def test_the_order_of_rows_does_not_matter() -> None:
    references, heard = corpus()
    order = np.random.default_rng(0).permutation(len(references))
    for score in (bleu, chrf):
        found = score(references, heard)
        mixed = score([references[i] for i in order], [heard[i] for i in order])
        assert mixed.value == pytest.approx(found.value)
        assert (mixed.low, mixed.high) == pytest.approx((found.low, found.high), abs=1)  # other draws
        assert score(references, heard) == found
        assert score(references, heard, seed=1) != found
    assert word_error_rate(references, heard) == word_error_rate(
        [references[i] for i in order], [heard[i] for i in order]
    )


def test_rows_of_one_sentence_are_drawn_together() -> None:
    references, heard = corpus()
    alone = bleu(references * 4, heard * 4)
    together = bleu(references * 4, heard * 4, sentences=references * 4)
    assert together.value == pytest.approx(alone.value)
    assert together.high - together.low == pytest.approx(2 * (alone.high - alone.low), rel=0.15)


@pytest.mark.parametrize("score", SCORES)
def test_sides_must_match(score) -> None:
    with pytest.raises(ValueError, match="2 references but 1 hypotheses"):
        score(["a", "b"], ["a"])
    with pytest.raises(ValueError, match="nothing to score"):
        score([], [])
