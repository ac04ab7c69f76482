"""Scores of a whole corpus: words that are heard in translated speech, and units that were predicted.

References and hypotheses are lists of the same length. Texts are normalised here, both sides alike, so that case and
punctuation never count. An empty hypothesis means that nothing was heard: it is scored, never skipped.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
import sacrebleu

from s2st.models.recognizer import normalize_text
from s2st.units import reduce

NUM_RESAMPLES = 2000  # of the bootstrap: the ends of the interval are then stable to about half a percent


@dataclass(frozen=True)
class Share:
    """A share of words with its 95% interval over sentences."""

    value: float  # words found / words in all references
    low: float
    high: float
    num_words: int  # in all references


@dataclass(frozen=True)
class CorpusScore:
    """A score of sacrebleu, 0 to 100, with the signature that makes it comparable."""

    value: float
    signature: str


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Word errors over reference words; above 1 if more is heard than was said."""
    return float(jiwer.process_words(*_normalized(references, hypotheses)).wer)


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Character errors over reference characters, spaces counted; Hangul counts by syllable."""
    return float(jiwer.process_characters(*_normalized(references, hypotheses)).cer)


def found_words(content_words: Sequence[str], hypothesis: str) -> list[bool]:
    """Tell of each content word whether it is heard; a word heard once answers for one reference word only."""
    heard = Counter(normalize_text(hypothesis).split())
    found = []
    for word in _split(content_words):
        found.append(heard[word] > 0)
        heard[word] -= 1
    return found


def content_word_share(content_words: Sequence[Sequence[str]], hypotheses: Sequence[str], seed: int = 0) -> Share:
    """Share of the references' content words that are heard, order ignored.

    content_words holds one list a sentence. The interval is a bootstrap over sentences.
    """
    _check_lengths(content_words, hypotheses)
    rows = [found_words(words, hypothesis) for words, hypothesis in zip(content_words, hypotheses, strict=True)]
    hits, totals = np.array([sum(row) for row in rows]), np.array([len(row) for row in rows])
    if totals.sum() == 0:
        raise ValueError("the references have no content words; check the corpus's content_words")
    low, high = _bootstrap_interval(hits, totals, seed)
    return Share(float(hits.sum() / totals.sum()), low, high, int(totals.sum()))


def chance_share(content_words: Sequence[Sequence[str]], texts: Sequence[str]) -> float:
    """Share that is found by mistake: the mean over scoring every reference against every other sentence's text."""
    _check_lengths(content_words, texts)
    if len(texts) < 2:
        raise ValueError("chance needs at least two sentences; score more of them")
    hits = sum(
        sum(found_words(words, text))
        for i, words in enumerate(content_words)
        for j, text in enumerate(texts)
        if i != j
    )
    return hits / (sum(len(_split(words)) for words in content_words) * (len(texts) - 1))


def unit_error_rate(references: Sequence[Sequence[int]], hypotheses: Sequence[Sequence[int]]) -> float:
    """Edit distance of reduced unit sequences over reference length, of the whole corpus."""
    _check_lengths(references, hypotheses)
    as_words = [[" ".join(map(str, reduce(np.asarray(row, int))[0])) for row in side] for side in (references, hypotheses)]
    return float(jiwer.process_words(*as_words).wer)


def bleu(references: Sequence[str], hypotheses: Sequence[str]) -> CorpusScore:
    """Corpus BLEU of what was heard (ASR-BLEU)."""
    return _corpus_score(sacrebleu.BLEU(), references, hypotheses)


def chrf(references: Sequence[str], hypotheses: Sequence[str]) -> CorpusScore:
    """Corpus chrF: kinder than BLEU to languages that build long words."""
    return _corpus_score(sacrebleu.CHRF(), references, hypotheses)
