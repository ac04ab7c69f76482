"""Rows of a report, from what the steps of a run wrote: transcripts, vocoders, trainings, units."""

import dataclasses
import json
from collections import defaultdict

import numpy as np

from pipelines.unit_quality import PHONES_FILE
from s2st import storage
from s2st.evaluation import report_content as content
from s2st.evaluation.charts import Series
from s2st.evaluation.segment_lengths import count_lengths
from s2st.evaluation.voice_scores import Figure
from s2st.schemas import UNIT_QUALITY, UNITS
from s2st.speech_to_units import describe_units, frames_per_second
from stages import datasets
from stages.stage import Step

CURVES = ("loss", "validation_loss", "nll", "mel", "masked_loss", "adversarial")  # of those that a training logs
SCORES_FILE = "_scores.json"  # of every stage that scores


def kind_of(units: str) -> str:
    """Describe the units of a dataset."""
    return describe_units(_codebook(units))


def _codebook(units: str) -> str:
    return datasets.read_table(units, UNITS, ["codebook"])["codebook"][0].as_py()


def transcript_rows(step: Step, section: str) -> list[content.Transcripts]:
    """Make the rows of one section of transcripts."""
    scores = storage.read_json(f"{step.run_folder}/{section}/{SCORES_FILE}")
    return [
        content.Transcripts(
            section,
            lang,
            voices,
            score["recordings"],
            **score["heard_text"],
            **{f"beam_{name}": value for name, value in score["beam_text"].items()},
        )
        for lang, by_voices in scores.items()
        for voices, score in by_voices.items()
    ]


def voice_rows(step: Step, section: str) -> list[content.VoiceScores]:
    """Make the rows of one section of scores of a vocoder."""
    scores = storage.read_json(f"{step.run_folder}/{section}/{SCORES_FILE}")
    return [
        content.VoiceScores(
            section,
            lang,
            score["durations"],
            score["recordings"],
            score["words"],
            {name: Figure(**figure) for name, figure in score.items() if isinstance(figure, dict)},
        )
        for lang, score in scores.items()
    ]


def training_of(folder: str) -> content.Training:
    """Read the curves of one training."""
    lines = [line for line in storage.read_bytes(f"{folder}/metrics.jsonl").decode().splitlines() if line]
    history = [json.loads(line) for line in lines]
    series = []
    for key in CURVES:
        points = [(line["step"], line[key]) for line in history if key in line]
        if points:
            steps, values = zip(*points, strict=True)
            series.append(Series(key, steps, values))
    return content.Training(folder.rpartition("/")[2], tuple(series))


def usages(folder: str) -> list[content.UnitUsage]:
    """Count the units of each language, and how long they last."""
    table = datasets.read_table(folder, UNITS, ["lang", "units", "durations"])
    by_language: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for row in table.to_pylist():
        frames, segments = (np.asarray(row[name], dtype=np.int64) for name in ("units", "durations"))
        by_language[row["lang"]].append((frames, segments))
    num_units = 1 + max(int(frames.max()) for spoken in by_language.values() for frames, _ in spoken)
    kind, frame_ms = kind_of(folder), 1000 / frames_per_second(_codebook(folder))
    rows = []
    for lang, spoken in sorted(by_language.items()):
        units, durations = (np.concatenate(column) for column in zip(*spoken, strict=True))
        counts = np.bincount(units, minlength=num_units).tolist()
        mean_ms = float(durations.mean()) * frame_ms
        rows.append(
            content.UnitUsage(f"{kind}, {lang}", tuple(counts), tuple(count_lengths(durations)), mean_ms, frame_ms)
        )
    return rows


def quality_rows(folder: str) -> list[content.UnitQuality]:
    """Make the rows of each kind of units in each language from rows of UNIT_QUALITY."""
    names = [field.name for field in dataclasses.fields(content.UnitQuality)]
    rows = datasets.read_table(folder, UNIT_QUALITY, names).to_pylist()
    return [content.UnitQuality(**row) for row in rows]


def phone_rows(folder: str) -> list[content.UnitPhones]:
    """Read which phones the units of each section have in each language; nothing where no phones are known."""
    return [
        content.UnitPhones(f"{section}, {lang}", {int(unit): of_phones for unit, of_phones in counts.items()})
        for section, by_language in storage.read_json(f"{folder}/{PHONES_FILE}").items()
        for lang, counts in by_language.items()
    ]
