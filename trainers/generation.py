"""Translations that a validation makes: how near they are to the references, and whether they differ at all.

Training feeds a translator the reference, so its loss falls even when it no longer looks at what it translates. What it
says by itself is then the same for every input (fairseq issue 5003), which only a translation shows.
"""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.evaluation import scores
from s2st.evaluation.mcd import warped_distance
from s2st.evaluation.scores import Units
from s2st.voice import Voice, check_speaks_reduced
from stages.stage import Step

METRICS: Mapping[str, Literal["min", "max"]] = MappingProxyType(
    {"unit_error_rate": "min", "unit_bleu": "max", "mcd": "min"}
)
SENTENCES = 32  # at most, of a validation's first batch, that are translated
LEAST_DIVERSITY = 0.25  # below it, translations of different inputs are nearly one
ADVICE = "use more data or voices, fewer layers or more dropout"


def measure(
    langs: Sequence[str], references: Sequence[Units], hypotheses: Sequence[Units], voices: "Voices | None"
) -> dict[str, float]:
    """Measure translations, as units, of different inputs: METRICS, of which mcd needs voices, and their diversity."""
    metrics = {
        "unit_error_rate": scores.unit_error_rate(references, hypotheses),
        "unit_bleu": scores.unit_bleu(references, hypotheses),
        "diversity": scores.diversity(references, hypotheses),
    }
    return metrics | voices.distortion(langs, references, hypotheses) if voices else metrics


def collapse(metrics: Mapping[str, float]) -> str | None:
    """Say so if translations of different inputs hardly differ."""
    found = metrics.get("diversity", 1.0)
    if found >= LEAST_DIVERSITY:
        return None
    differ = f"its translations differ {found:.0%} as much as the true ones"
    return f"it says nearly the same whatever it hears: {differ}; {ADVICE}"


class Voices:
    """The vocoders of a training, by the languages that they speak."""

    def __init__(self, folders: Sequence[str]) -> None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        voices = [Voice.load(folder, device) for folder in folders]
        self.by_language = {lang: voice for voice in voices for lang in voice.info["languages"]}

    def distortion(
        self, langs: Sequence[str], references: Sequence[Units], hypotheses: Sequence[Units]
    ) -> dict[str, float]:
        """Give {"mcd"}: mel cepstral distortion of spoken units against their references, spoken by the same vocoder.

        It is the mean over frames of the references, as fairseq's mcd_loss; nothing where no vocoder speaks a language.
        fairseq compares with the recording; with the reference's own units spoken, the faults of the vocoder are on
        both sides, and a perfect translation has 0.
        """
        cost, frames = 0.0, 0
        for lang in sorted(set(langs) & set(self.by_language)):
            rows = [row for row, own in enumerate(langs) if own == lang]
            expected, found = (self._speak(lang, [units[row] for row in rows]) for units in (references, hypotheses))
            for pair in zip(expected, found, strict=True):
                row_cost, row_frames = warped_distance(*pair, audio.SAMPLE_RATE)
                cost, frames = cost + row_cost, frames + row_frames
        return {"mcd": cost / frames} if frames else {}

    def _speak(self, lang: str, units: Sequence[Units]) -> list[np.ndarray]:
        spoken = self.by_language[lang].speak([np.asarray(row) for row in units], lang)
        return [waveform for waveform, _ in spoken]


def check_vocoders(step: Step, best_metric: str) -> None:
    """Raise UserError if the metric to choose a model by needs vocoders, and the step has none."""
    if best_metric == "mcd" and not step.inputs.get("vocoders"):
        raise UserError(f"section '{step.name}': best_metric mcd needs speech; name vocoders of the targets' languages")


def check_spoken(step: Step, best_metric: str, langs: Collection[str]) -> None:
    """Raise UserError if the metric to choose a model by needs vocoders of the target languages, and one has none."""
    folders = step.input_list("vocoders") if best_metric == "mcd" else []
    spoken = {lang for folder in folders for lang in checkpoint.vocoder_info(folder)["languages"]}
    if folders and (missing := sorted(set(langs) - spoken)):
        raise UserError(
            f"section '{step.name}': best_metric mcd needs vocoders of all target languages; name one of '{missing[0]}'"
        )


def check_vocoder_units(step: Step, units: str) -> None:
    """Raise UserError if a vocoder speaks other units than `units`, those of the training, or none that are reduced."""
    for folder in step.input_list("vocoders"):
        check_speaks_reduced(folder)
        found = checkpoint.vocoder_info(folder)["units"]
        if found != units:
            raise UserError(f"section '{step.name}': {folder} speaks units {found}, but the training has {units}")
