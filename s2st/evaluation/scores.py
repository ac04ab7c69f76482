"""Scores of a whole corpus: content words that are heard in translated speech, and units that were predicted.

References and hypotheses are lists of the same length. An empty hypothesis says that nothing was heard; it is scored,
never skipped.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import jiwer
import numpy as np
import sacrebleu

from s2st.evaluation.bootstrap import by_group, interval
from s2st.units import reduce

Units = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class Share:
    """A share of words with its 95% interval over sentences."""

    value: float  # words found / words in all references
    low: float
    high: float
    num_words: int  # in all references


def found_words(reference: Sequence[str], heard: Sequence[str]) -> list[bool]:
    """Tell of each reference word whether it is heard; a word heard once answers for one reference word."""
    left = Counter(heard)
    found = []
    for word in reference:
        found.append(left[word] > 0)
        left[word] -= 1
    return found


def content_word_share(
    references: Sequence[Sequence[str]],
    hypotheses: Sequence[Sequence[str]],
    seed: int = 0,
    sentences: Sequence[str] | None = None,
) -> Share:
    """Share of the references' content words that are heard, order ignored, with a bootstrap over sentences.

    `sentences` names the sentence of each row, where one sentence has several recordings: rows of a sentence are
    drawn together, since they are right or wrong together.
    Both sides hold one list of words a sentence, made by the same function of text and language, so that a
    word counts whatever ending it is heard with.
    """
    check_lengths(references, hypotheses)
    rows = [found_words(words, heard) for words, heard in zip(references, hypotheses, strict=True)]
    hits, totals = np.array([sum(row) for row in rows]), np.array([len(row) for row in rows])
    if totals.sum() == 0:
        raise ValueError("the references have no content words; check the list of stop words")
    low, high = interval(by_group(np.stack([hits, totals], axis=1), sentences), seed)
    return Share(float(hits.sum() / totals.sum()), low, high, int(totals.sum()))


def symbol_error_rate(references: Sequence[Sequence[int]], hypotheses: Sequence[Sequence[int]]) -> float:
    """Edit distance of sequences of numbers over reference length, of the whole corpus."""
    expected, found = ([" ".join(map(str, row)) for row in rows] for rows in (references, hypotheses))
    return float(jiwer.process_words(expected, found).wer)


def unit_error_rate(references: Sequence[Units], hypotheses: Sequence[Units]) -> float:
    """`symbol_error_rate` of unit sequences, which are reduced first."""
    check_lengths(references, hypotheses)
    return symbol_error_rate(_reduced(references), _reduced(hypotheses))


def unit_bleu(references: Sequence[Units], hypotheses: Sequence[Units]) -> float:
    """Corpus BLEU, 0 to 100, of unit sequences, each unit a word; they are reduced first."""
    check_lengths(references, hypotheses)
    expected, found = ([" ".join(map(str, row)) for row in _reduced(rows)] for rows in (references, hypotheses))
    return float(sacrebleu.BLEU(tokenize="none", force=True).corpus_score(found, [expected]).score)


def diversity(references: Sequence[Units], hypotheses: Sequence[Units]) -> float:
    """How much hypotheses of different inputs differ, as a share of how much their references do.

    Each row of units is compared with the next one, by edit distance over the longer of the two. A model that gives the
    same for every input has 0, a good one about 1. It is 1, too, where all references are alike.
    """
    check_lengths(references, hypotheses)
    expected = _differences(references)
    return _differences(hypotheses) / expected if expected else 1.0


def _differences(rows: Sequence[Units]) -> float:
    """Mean distance of each row and the next one, 0 to 1."""
    pairs = [pair for pair in pairwise(_reduced(rows)) if any(pair)]
    distances = [
        symbol_error_rate([longer], [shorter]) for shorter, longer in (sorted(pair, key=len) for pair in pairs)
    ]
    return sum(distances) / max(1, len(distances))


def _reduced(rows: Sequence[Units]) -> list[list[int]]:
    return [reduce(np.asarray(row, dtype=np.int64))[0].tolist() for row in rows]


def check_lengths(references: Sequence[object], hypotheses: Sequence[object]) -> None:
    """Raise ValueError unless there is a hypothesis for each reference, and any."""
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references but {len(hypotheses)} hypotheses; give one for each")
    if not len(references):
        raise ValueError("there is nothing to score; give at least one sentence")
