"""ASR-BLEU and what stands beside it: scores of speech by what a recogniser hears, with their full signatures."""

from collections.abc import Sequence
from typing import Any

from s2st.evaluation.protocols import Protocol
from s2st.evaluation.text_scores import bleu, character_error_rate, chrf, word_error_rate


def score_heard(
    protocol: Protocol,
    judge: str,
    references: Sequence[str],
    heard: Sequence[str],
    recordings: Sequence[str] | None = None,
    sentences: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Score what the recogniser `judge` heard in speech of one language, as plain values for JSON.

    `recordings` is what it hears in true recordings of the references: the ceiling of each score. `sentences` is as for
    `text_scores.bleu`. Raises ValueError for sides of different lengths.
    """
    expected = [protocol.reference(text) for text in references]
    found = [protocol.heard(text) for text in heard]
    words = bleu(expected, found, protocol.tokenizer, protocol.lowercase, sentences, seed)
    letters = chrf(expected, found, sentences, seed)
    said = f"asr:{judge}|protocol:{protocol.name}|norm:{protocol.normalizer}"
    scores = {
        "word_error_rate": word_error_rate(expected, found),
        "character_error_rate": character_error_rate(expected, found),
        "bleu": words.value,
        "bleu_interval": [words.low, words.high],
        "bleu_signature": f"{said}|{words.signature}",
        "chrf": letters.value,
        "chrf_interval": [letters.low, letters.high],
        "chrf_signature": f"{said}|{letters.signature}",
    }
    if recordings is not None:
        true = [protocol.heard(text) for text in recordings]
        words = bleu(expected, true, protocol.tokenizer, protocol.lowercase, sentences, seed)
        letters = chrf(expected, true, sentences, seed)
        scores |= {
            "judge_word_error_rate": word_error_rate(expected, true),
            "judge_character_error_rate": character_error_rate(expected, true),
            "recordings_bleu": words.value,
            "recordings_bleu_interval": [words.low, words.high],
            "recordings_chrf": letters.value,
            "recordings_chrf_interval": [letters.low, letters.high],
        }
    return scores
