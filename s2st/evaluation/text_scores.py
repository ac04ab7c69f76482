"""Scores of what is heard in a corpus of speech: WER and CER of jiwer, BLEU and chrF of sacrebleu with intervals.

References and hypotheses are lists of the same length, compared as they are: s2st.evaluation.protocols normalises them.
An empty hypothesis says that nothing was heard; it is scored, never skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer
import numpy as np
import sacrebleu

from s2st.evaluation.bootstrap import by_group, interval
from s2st.evaluation.scores import check_lengths


@dataclass(frozen=True)
class CorpusScore:
    """A score of sacrebleu, 0 to 100, with its 95% interval and the signature that makes it comparable."""

    value: float
    low: float
    high: float
    signature: str


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Word errors over reference words; above 1 if more is heard than was said."""
    check_lengths(references, hypotheses)
    return float(jiwer.process_words(list(references), list(hypotheses)).wer)


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    """Character errors over reference characters, spaces counted; Hangul counts by syllable."""
    check_lengths(references, hypotheses)
    return float(jiwer.process_characters(list(references), list(hypotheses)).cer)


def bleu(
    references: Sequence[str],
    hypotheses: Sequence[str],
    tokenizer: str = "13a",
    lowercase: bool = False,
    sentences: Sequence[str] | None = None,
    seed: int = 0,
) -> CorpusScore:
    """Corpus BLEU (ASR-BLEU, where hypotheses are heard) with one of sacrebleu's tokenizers.

    `sentences` names the sentence of each row, where one sentence has several recordings: the interval's draws take
    rows of a sentence together, since they are right or wrong together.
    """
    metric = sacrebleu.BLEU(tokenize=tokenizer, lowercase=lowercase)
    return _corpus_score(metric, references, hypotheses, sentences, seed)


def chrf(
    references: Sequence[str], hypotheses: Sequence[str], sentences: Sequence[str] | None = None, seed: int = 0
) -> CorpusScore:
    """Corpus chrF, with an interval as that of `bleu`: kinder than BLEU to languages that build long words."""
    return _corpus_score(sacrebleu.CHRF(), references, hypotheses, sentences, seed)


def _corpus_score(
    metric: sacrebleu.BLEU | sacrebleu.CHRF,
    references: Sequence[str],
    hypotheses: Sequence[str],
    sentences: Sequence[str] | None,
    seed: int,
) -> CorpusScore:
    check_lengths(references, hypotheses)
    # sacrebleu's own bootstrap has these counts too, but draws rows alone
    counts = np.array(metric._extract_corpus_statistics(hypotheses, [references]))
    value = metric._compute_score_from_stats(counts.sum(axis=0).tolist()).score

    def scores_of(sums: np.ndarray) -> np.ndarray:
        return np.array([metric._compute_score_from_stats(row).score for row in sums])

    low, high = interval(by_group(counts, sentences), seed, scores_of)
    return CorpusScore(value, low, high, str(metric.get_signature()))
