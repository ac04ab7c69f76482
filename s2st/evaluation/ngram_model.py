"""N-gram models of tokens: what a language model has to be better than.

Witten-Bell smoothing (Chen and Goodman 1998, section 2.5): after a history h that was seen c(h) times with t(h)
different tokens behind it,

    p(w | h) = (c(h w) + t(h) p(w | shorter h)) / (c(h) + t(h))

and without any history, all tokens of the vocabulary are alike.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

Tokens = Sequence[int]
Ngram = tuple[int, ...]


def histories_of(sequences: Iterable[Tokens], order: int) -> set[Ngram]:
    """Collect what stands before a token, from nothing to `order` - 1 tokens: all that a model of them is asked for."""
    return {
        history
        for tokens in sequences
        for place in range(1, len(tokens))
        for history in _histories(tokens, place, order)
    }


def count_ngrams(sequences: Iterable[Tokens], order: int, histories: Collection[Ngram]) -> Counter[Ngram]:
    """Count the n-grams of 1 to `order` tokens that begin with one of `histories`, in sequences.

    The first token of a sequence is given, so it ends none. Counts of parts of a corpus add up to those of all of it.
    """
    return Counter(
        (*history, tokens[place])
        for tokens in sequences
        for place in range(1, len(tokens))
        for history in _histories(tokens, place, order)
        if history in histories
    )


class NgramModel:
    """Probabilities from counts of n-grams; it knows the shorter ones as well."""

    def __init__(self, ngrams: Mapping[Ngram, int], num_tokens: int) -> None:
        """Take n-grams with their counts, of tokens that have `num_tokens` values."""
        self.ngrams, self.num_tokens = ngrams, num_tokens
        self.histories: Counter[Ngram] = Counter()
        self.followers = Counter(ngram[:-1] for ngram in ngrams)
        for ngram, count in ngrams.items():
            self.histories[ngram[:-1]] += count

    def surprisal(self, tokens: Tokens, order: int) -> float:
        """Negative log-probability, in nats, of all tokens but the first, by n-grams of up to `order` tokens."""
        return -sum(math.log(self._probability(tokens, place, order)) for place in range(1, len(tokens)))

    def _probability(self, tokens: Tokens, place: int, order: int) -> float:
        probability = 1 / self.num_tokens
        for history in _histories(tokens, place, order):
            if seen := self.histories[history]:
                followers = self.followers[history]
                count = self.ngrams.get((*history, tokens[place]), 0)
                probability = (count + followers * probability) / (seen + followers)
        return probability


def _histories(tokens: Tokens, place: int, order: int) -> Iterable[Ngram]:
    """Give what stands before a place, from nothing to the longest history."""
    return (tuple(tokens[place - size : place]) for size in range(min(order, place + 1)))
