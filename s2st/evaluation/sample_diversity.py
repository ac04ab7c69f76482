"""How varied generated utterances are: whether each repeats itself, and whether they repeat each other.

A language model that is sure of itself says the same again and again; one at a high temperature never does, and says
nothing. So a score stands beside that of true utterances. Source: GSLM (Lakhotia et al. 2021), who measure BLEU-2 of
words that a recogniser hears; fairseq's examples/textless_nlp/gslm/metrics/asr_metrics/self_auto_bleu.py, geometric.
Here words are any symbols: units are measured by the same code. Lower is more varied; all are from 0 to 1.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

MAX_N = 2  # BLEU-2
Words = Sequence[Hashable]
Ngram = tuple[Hashable, ...]


@dataclass(frozen=True)
class Diversity:
    auto_bleu: float  # how much an utterance repeats itself
    self_bleu: float  # how much it repeats the others
    vert: float  # geometric mean of the two
    distinct: float  # different bigrams over bigrams of all utterances together (Li et al. 2016); higher is more varied


def diversity(utterances: Sequence[Words]) -> Diversity:
    """Measure at least two utterances; raises ValueError for fewer."""
    if len(utterances) < 2:
        raise ValueError(f"{len(utterances)} utterance tells nothing of diversity; give at least two")
    own = sum(auto_bleu(words) for words in utterances) / len(utterances)
    others = sum(self_bleus(utterances)) / len(utterances)
    pairs = [pair for words in utterances for pair in ngrams(words, 2)]
    return Diversity(own, others, math.sqrt(own * others), len(set(pairs)) / max(1, len(pairs)))


def ngrams(words: Words, size: int) -> list[Ngram]:
    """Give the n-grams of a size, in their order."""
    return [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]


def auto_bleu(words: Words) -> float:
    """Share of an utterance's n-grams that come in it again, elsewhere than over themselves."""
    shares = []
    for size in range(1, MAX_N + 1):
        found = ngrams(words, size)
        first = {ngram: place for place, ngram in reversed(list(enumerate(found)))}
        last = {ngram: place for place, ngram in enumerate(found)}
        again = [first[ngram] <= place - size or last[ngram] >= place + size for place, ngram in enumerate(found)]
        shares.append(sum(again) / max(1, len(found)))
    return _geometric_mean(shares)


def self_bleus(utterances: Sequence[Words]) -> list[float]:
    """BLEU of each utterance with all others as its references, without a penalty for its length."""
    precisions = [[0.0] * MAX_N for _ in utterances]
    for size in range(1, MAX_N + 1):
        counts = [Counter(ngrams(words, size)) for words in utterances]
        most = _two_highest(counts)
        for row, own in enumerate(counts):
            found = sum(min(count, _most_of_others(most[ngram], count)) for ngram, count in own.items())
            precisions[row][size - 1] = found / max(1, own.total())
    return [_geometric_mean(row) for row in precisions]


def _two_highest(counts: Sequence[Counter[Ngram]]) -> dict[Ngram, tuple[int, int]]:
    """Of each n-gram, how often it comes in the utterance that has it most often, and in the next."""
    most: dict[Ngram, tuple[int, int]] = {}
    for own in counts:
        for ngram, count in own.items():
            highest, second, _ = sorted((*most.get(ngram, (0, 0)), count), reverse=True)
            most[ngram] = highest, second
    return most


def _most_of_others(most: tuple[int, int], own: int) -> int:
    """How often an n-gram comes in that one of the other utterances which has it most often."""
    return most[1] if own == most[0] else most[0]


def _geometric_mean(values: Sequence[float]) -> float:
    return math.prod(values) ** (1 / len(values))
