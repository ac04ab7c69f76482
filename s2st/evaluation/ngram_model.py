"""N-gram models of tokens: what a language model has to be better than.

Witten-Bell smoothing (Chen and Goodman 1998, section 2.5): after a history h that was seen c(h) times with t(h)
different tokens behind it,

    p(w | h) = (c(h w) + t(h) p(w | shorter h)) / (c(h) + t(h))

and without any history, all tokens of the vocabulary are alike.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence

Tokens = Sequence[int]


class NgramModel:
    """Counts of the n-grams of sequences; of each, the first token is given and the others are predicted."""

    def __init__(self, sequences: Iterable[Tokens], order: int, num_tokens: int) -> None:
        """Learn n-grams up to `order` (1: unigrams) of sequences whose tokens have `num_tokens` values."""
        self.order, self.num_tokens = order, num_tokens
        self.ngrams: Counter[tuple[int, ...]] = Counter()
        self.histories: Counter[tuple[int, ...]] = Counter()
        self.followers: Counter[tuple[int, ...]] = Counter()
        for tokens in sequences:
            for place in range(1, len(tokens)):
                for history in self._histories(tokens, place, order):
                    ngram = (*history, tokens[place])
                    self.followers[history] += ngram not in self.ngrams
                    self.ngrams[ngram] += 1
                    self.histories[history] += 1

    def surprisal(self, tokens: Tokens, order: int | None = None) -> float:
        """Negative log-probability, in nats, of all tokens but the first; by shorter n-grams than were learned, too."""
        order = order or self.order
        return -sum(math.log(self._probability(tokens, place, order)) for place in range(1, len(tokens)))

    def _probability(self, tokens: Tokens, place: int, order: int) -> float:
        probability = 1 / self.num_tokens
        for history in self._histories(tokens, place, order):
            if seen := self.histories[history]:
                followers = self.followers[history]
                count = self.ngrams[(*history, tokens[place])]
                probability = (count + followers * probability) / (seen + followers)
        return probability

    def _histories(self, tokens: Tokens, place: int, order: int) -> Iterable[tuple[int, ...]]:
        """Give what stands before a place, from nothing to the longest history."""
        return (tuple(tokens[place - size : place]) for size in range(min(order, place + 1)))
