"""Rows of a report, from what the steps of a run wrote."""

import dataclasses
import json
from collections import defaultdict
from typing import Any

import numpy as np

from s2st import storage
from s2st.corpora.phrasebook_grammar import content_words
from s2st.evaluation import report_content as content
from s2st.evaluation.charts import Series
from s2st.evaluation.scores import Share
from s2st.evaluation.spoken_text import spoken_text
from s2st.evaluation.voice_scores import Figure
from s2st.schemas import UNITS
from stages import datasets
from stages.stage import Step

CURVES = ("loss", "validation_loss", "nll", "mel", "masked_loss", "adversarial")  # of those that a training logs
SCORES_FILE = "_scores.json"  # of every stage that scores


def stage_row(name: str, record: dict[str, Any]) -> content.StageRow:
    """Make the row of one step."""
    return content.StageRow(
        name,
        record["rows_in"],
        record["rows_out"],
        record["rejects"],
        record["audio_hours"] or None,
        record["seconds"],
    )


def score_rows(kind: str, by_direction: dict[str, Any]) -> list[content.ScoreRow]:
    """Make the rows of one kind of units."""
    rows = []
    for direction, by_voices in by_direction.items():
        for voices, score in by_voices.items():
            share = Share(
                score["content_words"], *score["content_words_interval"], num_words=score["num_content_words"]
            )
            shown = (
                "chance",
                "ceiling",
                "recordings",
                "word_error_rate",
                "character_error_rate",
                "unit_error_rate",
                "bleu",
                "chrf",
            )
            rows.append(
                content.ScoreRow(
                    direction.replace("-", " → "),
                    kind,
                    voices,
                    score["sentences"],
                    share,
                    **{k: score[k] for k in shown},
                )
            )
    return rows


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


def sentence_of(row: dict[str, Any], kind: str) -> content.Sentence:
    """Make the text of one translated sentence from a row of SCORES."""
    lang = row["target_lang"]
    return content.Sentence(
        direction=f"{row['source_lang']} → {lang}",
        unit_kind=kind,
        voice=row["voices"],
        source_text=row["source_text"],
        reference=row["reference_text"],
        heard=row["heard_text"],
        content_words=tuple(content_words(spoken_text(row["reference_text"], lang), lang)),
        heard_words=tuple(content_words(spoken_text(row["heard_text"], lang), lang)),
    )


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


def usages(kind: str, folder: str) -> list[content.UnitUsage]:
    """Count the units of each language."""
    table = datasets.read_table(folder, UNITS, ["lang", "units"])
    by_language: dict[str, list[np.ndarray]] = defaultdict(list)
    for lang, units in zip(table["lang"].to_pylist(), table["units"].to_pylist(), strict=True):
        by_language[lang].append(np.asarray(units, dtype=np.int64))
    num_units = 1 + max(int(units.max()) for sequences in by_language.values() for units in sequences)
    return [
        content.UnitUsage(f"{kind}, {lang}", tuple(np.bincount(np.concatenate(units), minlength=num_units).tolist()))
        for lang, units in sorted(by_language.items())
    ]


def quality_row(row: dict[str, Any]) -> content.UnitQuality:
    """Make the row of one kind of units in one language from a row of UNIT_QUALITY."""
    return content.UnitQuality(**{field.name: row[field.name] for field in dataclasses.fields(content.UnitQuality)})
