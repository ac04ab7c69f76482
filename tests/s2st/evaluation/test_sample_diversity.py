import dataclasses
import math

import pytest

from s2st.evaluation.sample_diversity import auto_bleu, diversity, self_bleus


def test_auto_bleu_by_hand():
    assert auto_bleu("abcd") == 0
    assert auto_bleu("abab") == pytest.approx(math.sqrt(1 * 2 / 3))  # `ba` comes once
    assert auto_bleu("aaa") == 0, "both bigrams lie over each other"
    assert auto_bleu("aaaa") == pytest.approx(math.sqrt(1 * 2 / 3))  # the middle one lies over both others
    assert auto_bleu("") == auto_bleu("a") == 0


def test_self_bleu_by_hand():
    """`ab` shares both words and the bigram with `abc`, which shares two of three words and one of two bigrams."""
    assert self_bleus(["ab", "abc"]) == pytest.approx([1.0, math.sqrt(2 / 3 * 1 / 2)])
    assert self_bleus(["ab", "cd"]) == [0, 0]
    assert self_bleus(["aabb", "ab"]) == pytest.approx([math.sqrt(2 / 4 * 1 / 3), 1.0])  # a word answers for one


def test_self_bleu_is_sacrebleus_with_all_others_as_references():
    sacrebleu = pytest.importorskip("sacrebleu")
    sentences = ["the cat sat on the mat", "the dog sat on the cat", "a dog ran to the mat and the cat", "the cat the"]
    metric = sacrebleu.BLEU(max_ngram_order=2, tokenize="none", effective_order=False, smooth_method="none")
    expected = []
    for i, sentence in enumerate(sentences):
        others = sentences[:i] + sentences[i + 1 :]
        precisions = metric.sentence_score(sentence, others).precisions
        expected.append(math.sqrt(precisions[0] * precisions[1]) / 100)
    assert self_bleus([sentence.split() for sentence in sentences]) == pytest.approx(expected)


def test_the_same_again_and_again_is_not_varied():
    same, varied = diversity([[1, 2, 1, 2]] * 3), diversity([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]])
    assert same.self_bleu == 1
    assert same.vert == pytest.approx(math.sqrt(same.auto_bleu))
    assert same.distinct == pytest.approx(2 / 9)
    assert (varied.auto_bleu, varied.self_bleu, varied.vert, varied.distinct) == (0, 0, 0, 1)


def test_utterances_may_be_empty_and_their_order_does_not_matter():
    utterances = ["abcab", "", "cabba", "bb"]
    turned = dataclasses.asdict(diversity(utterances[::-1]))
    assert turned == pytest.approx(dataclasses.asdict(diversity(utterances)))
    with pytest.raises(ValueError, match="1 utterance tells nothing"):
        diversity(["ab"])
