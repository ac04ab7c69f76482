import math
from collections import Counter

import numpy as np
import pytest

from s2st.evaluation.ngram_model import NgramModel, count_ngrams, histories_of

END = 0
SEQUENCES = [[END, 1, 2, 1, 2, END], [END, 1, 3, END], [END, 2, 2, 1, END]]


def learned(sequences, order, num_tokens):
    """A model of all n-grams of the sequences."""
    return NgramModel(count_ngrams(sequences, order, histories_of(sequences, order)), num_tokens)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_add_up_to_one(order):
    model = learned(SEQUENCES, order, 5)
    for before in ([END], [END, 1], [END, 1, 2], [END, 3, 3, 4]):
        start = model.surprisal(before, order)
        chances = [math.exp(start - model.surprisal([*before, token], order)) for token in range(5)]
        assert min(chances) > 0, "a token that was never seen is possible"
        assert sum(chances) == pytest.approx(1)


def test_unigrams_by_hand():
    """Of 5 + 3 + 4 tokens, 1 comes four times; four of the five tokens are seen."""
    model = learned(SEQUENCES, 1, 5)
    assert model.surprisal([END, 1], 1) == pytest.approx(-math.log((4 + 4 / 5) / (12 + 4)))
    assert model.surprisal([END], 1) == 0


def test_bigrams_by_hand():
    """After 2: 1 twice, 2 and the end once each; so c = 4, t = 3."""
    model = learned(SEQUENCES, 2, 5)
    alone = (4 + 4 / 5) / 16
    expected = -math.log((2 + 3 * alone) / (4 + 3))
    assert model.surprisal([END, 2, 1], 2) - model.surprisal([END, 2], 2) == pytest.approx(expected)


def test_a_cycle_is_no_surprise_to_bigrams_alone():
    cycles = [[END, *(np.arange(start, start + 60) % 6 + 1).tolist(), END] for start in range(6)]
    model = learned(cycles, 2, num_tokens=7)
    perplexities = [math.exp(model.surprisal(cycles[0], order) / 61) for order in (1, 2)]
    assert perplexities[0] == pytest.approx(6, rel=0.1), "and now and then an end"
    assert perplexities[1] < 1.2


def test_a_model_knows_the_shorter_n_grams():
    sequences = [[0, 1, 2, 1, 2, 3], [0, 2, 2, 1], [0, 3]]
    trigrams, unseen = learned(sequences, 3, 4), [0, 2, 1, 3, 3]
    for order in (1, 2, 3):
        assert trigrams.surprisal(unseen, order) == learned(sequences, order, 4).surprisal(unseen, order)


def test_counts_of_parts_and_of_the_histories_that_are_asked_for_are_enough():
    asked = [[END, 1, 2, 4, END], [END, 3, 1]]
    histories = histories_of(asked, 3)
    parts = sum((count_ngrams([sequence], 3, histories) for sequence in SEQUENCES), Counter())
    assert parts < count_ngrams(SEQUENCES, 3, histories_of(SEQUENCES, 3))
    some, every = NgramModel(parts, 5), learned(SEQUENCES, 3, 5)
    for order in (1, 2, 3):
        assert [some.surprisal(tokens, order) for tokens in asked] == [
            every.surprisal(tokens, order) for tokens in asked
        ]
