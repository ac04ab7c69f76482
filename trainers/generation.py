"""Translations that a validation makes: how near they are to the references, and whether they differ at all.

Training feeds a translator the reference, so its loss falls even when it no longer looks at what it translates. What it
says by itself is then the same for every input (fairseq issue 5003), which only a translation shows.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from s2st.evaluation import scores
from s2st.evaluation.scores import Units

METRICS: Mapping[str, Literal["min", "max"]] = MappingProxyType({"unit_error_rate": "min", "unit_bleu": "max"})
SENTENCES = 32  # at most, of a validation's first batch, that are translated
LEAST_DIVERSITY = 0.25  # below it, translations of different inputs are nearly one
ADVICE = "use more data or voices, fewer layers or more dropout, and look at the units that its sources have"


def unit_metrics(references: Sequence[Units], hypotheses: Sequence[Units]) -> dict[str, float]:
    """Measure translations, as units, of different inputs: METRICS and "diversity" (see s2st.evaluation.scores)."""
    return {
        "unit_error_rate": scores.unit_error_rate(references, hypotheses),
        "unit_bleu": scores.unit_bleu(references, hypotheses),
        "diversity": scores.diversity(references, hypotheses),
    }


def collapse(metrics: Mapping[str, float]) -> str | None:
    """Say so if translations of different inputs hardly differ."""
    found = metrics.get("diversity", 1.0)
    if found >= LEAST_DIVERSITY:
        return None
    differ = f"its translations differ {found:.0%} as much as the true ones"
    return f"it says nearly the same whatever it hears: {differ}; {ADVICE}"
