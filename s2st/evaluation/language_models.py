"""Unit language models in tables: how well they foretell speech, and how long and varied what they say is.

Functions take what pipelines.score_continuations writes, {section: {language: scores}}, and give a table of cells,
the names of its columns first.
"""

from collections.abc import Mapping
from typing import Any

from s2st.evaluation.approaches import MISSING

PERPLEXITY_COLUMNS = (
    "language model",
    "units",
    "recordings",
    "perplexity [95%]",
    "trigrams",
    "bigrams",
    "unigrams",
    "bits a second",
)
SPEECH_COLUMNS = (
    "speech",
    "utterances",
    "ended by itself",
    "units each",
    "auto-BLEU",
    "self-BLEU",
    "VERT",
    "words each",
    "VERT of words",
)
KINDS = {"true": "recordings", "continued": "their beginnings, continued", "sampled": "samples without a beginning"}

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]


def perplexity_table(models: Scores) -> list[list[str]]:
    """Lay out a row a model: how well it foretells speech, beside n-grams."""
    rows = [list(PERPLEXITY_COLUMNS)]
    for section, by_language in models.items():
        for lang, score in by_language.items():
            own, *others = (score["perplexity"][name] for name in ("language model", "trigram", "bigram", "unigram"))
            rows.append(
                [
                    f"{section}, {lang}",
                    str(score["num_units"]),
                    str(score["recordings"]),
                    f"{own['value']:.1f} [{own['low']:.1f}, {own['high']:.1f}]",
                    *(f"{other['value']:.1f}" for other in others),
                    f"{score['bits_per_second']:.0f}",
                ]
            )
    return rows


def speech_table(models: Scores) -> list[list[str]]:
    """Lay out a row a model and kind of speech: how long and varied it is."""
    rows = [list(SPEECH_COLUMNS)]
    for section, by_language in models.items():
        for lang, score in by_language.items():
            for kind, speech in score["speech"].items():
                units, words = (speech.get(f"diversity_of_{what}") for what in ("units", "words"))
                rows.append(
                    [
                        f"{section}, {lang}: {KINDS[kind]}",
                        str(speech["utterances"]),
                        f"{speech['finished']:.2f}",
                        f"{speech['mean_units']:.0f}",
                        *(f"{units[name]:.2f}" if units else MISSING for name in ("auto_bleu", "self_bleu", "vert")),
                        f"{speech['mean_words']:.1f}" if words else MISSING,
                        f"{words['vert']:.2f}" if words else MISSING,
                    ]
                )
    return rows
