"""Tell a whole run on one page: what was done, what it scores, how it sounds."""

import dataclasses
import datetime
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.listening import choose, sounds_of, write_sounds
from s2st import storage
from s2st.config import UserError
from s2st.corpora.phrasebook_grammar import content_words
from s2st.evaluation import report as page
from s2st.evaluation.charts import Series
from s2st.evaluation.scores import Share, found_words
from s2st.models.recognizer import normalize_text
from s2st.schemas import MANIFEST, SCORES, TRANSCRIPTS, TRANSLATIONS, UNIT_QUALITY, UNITS
from s2st.speech_to_units import describe_units
from stages import datasets
from stages.run import main
from stages.stage import MADE_BY, Counts, Input, Stage, Step, commit, machine

CURVES = ("loss", "validation_loss", "nll", "mel", "masked_loss", "adversarial")  # of those that a training logs
MAIN = "units"  # key of the unit kind in scores.json
SCORES_FILE = "_scores.json"  # of an evaluation, and of transcripts


@dataclass(frozen=True)
class ReportConfig:
    title: str = "Speech-to-speech translation"
    listening: int = 4  # sentences of each direction with their sound
    sentences: int = 8  # best, and worst


def check(config: ReportConfig, step: Step) -> None:
    """Raise UserError unless each evaluation has translations and units of its own."""
    evaluations, translations, units = (step.inputs.get(name, []) for name in ("evaluations", "translations", "units"))
    if (evaluations or translations) and not len(evaluations) == len(translations) == len(units):
        raise UserError(f"section '{step.name}': name as many evaluations as translations and units, in one order")
    if len(set(evaluations)) < len(evaluations):
        raise UserError(f"section '{step.name}': an evaluation is named twice; name each section once")


def check_inputs(config: ReportConfig, step: Step) -> None:
    """Raise UserError for scores of another name or form, as those of older versions have."""
    known = {folder: storage.is_file(f"{folder}/{SCORES_FILE}") for folder in step.input_list("evaluations")}
    for folder in step.input_list("transcripts"):
        scores = storage.read_json(f"{folder}/{SCORES_FILE}")
        known[folder] = all("recordings" not in by_voices for by_voices in scores.values())
    if old := [folder for folder, current in known.items() if not current]:
        raise UserError(f"section '{step.name}': {old[0]} is of an older version; delete it and run again")


def run(config: ReportConfig, step: Step) -> Counts:
    """Gather the records, scores, curves and sounds of a run, and write index.html, scores.json and listen/."""
    evaluations, translations = step.input_list("evaluations"), step.input_list("translations")
    units = list(dict.fromkeys(step.input_list("units")))
    unit_kinds = [describe_units(_first(folder, UNITS, "codebook")) for folder in units]
    # evaluations of several models with the same units are told apart by their sections
    kinds = unit_kinds if len(units) == len(step.input_list("units")) else list(step.inputs["evaluations"])
    scored = [storage.read_json(f"{folder}/{SCORES_FILE}") for folder in evaluations]
    rows = [datasets.read_table(folder, SCORES).to_pylist() for folder in evaluations]
    main_rows = heard_where_any(rows[0]) if rows else []
    ranked = sorted((sentence_of(row, kinds[0]) for row in main_rows), key=_arrived, reverse=True)
    listening = choose(main_rows, config.listening)
    sounds = sounds_of(step, translations[0], listening) if listening else {}
    quality = [row for f in step.input_list("unit_quality") for row in datasets.read_table(f, UNIT_QUALITY).to_pylist()]
    heard = [row for section in step.inputs.get("transcripts", []) for row in transcript_rows(step, section)]
    records = records_of(step)
    manifest = records[step.inputs["manifest"][0]]
    page_content = page.Report(
        title=config.title,
        recipe=Path(step.recipe).name,
        commit=commit(),
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(),
        corpus=next(name for name, value in manifest["settings"].items() if isinstance(value, dict)),
        corpus_hours=manifest["audio_hours"],
        synthetic=manifest["settings"].get("phrasebook") is not None,
        stages=tuple(stage_row(name, record) for name, record in records.items()),
        scores=tuple(
            row
            for kind, by_direction in zip(kinds, scored, strict=False)  # no scores where nothing is translated
            for row in score_rows(kind, by_direction)
        ),
        notes=tuple(
            sorted(
                {
                    f"{m}: {s[f'{m}_signature']}"
                    for d in scored
                    for v in d.values()
                    for s in v.values()
                    for m in ("bleu", "chrf")
                }
            )
        ),
        transcripts=tuple(heard),
        trainings=tuple(training_of(folder) for folder in step.input_list("trainings")),
        unit_quality=tuple(quality_row(row) for row in quality),
        unit_usages=tuple(
            usage for kind, folder in zip(unit_kinds, units, strict=True) for usage in usages(kind, folder)
        ),
        listening=tuple(page.Listening(sentence_of(row, kinds[0]), *sounds[row["pair_id"]]) for row in listening),
        best=tuple(ranked[: config.sentences]),
        worst=tuple(ranked[::-1][: config.sentences]),
    )
    storage.write_bytes(f"{step.output}/index.html", page.render(page_content).encode())
    storage.write_json(f"{step.output}/scores.json", summary(kinds, scored))
    write_sounds(step.output, listening, sounds)
    num_rows = sum(map(len, rows)) + len(quality) + sum(row.num_utterances for row in heard)
    return Counts(num_rows, num_rows)


def _first(folder: str, schema: pa.Schema, column: str) -> Any:
    return datasets.read_table(folder, schema, [column])[column][0].as_py()


def records_of(step: Step) -> dict[str, dict[str, Any]]:
    """Read the records of all steps that this one stands on, in the order in which they were made."""
    records: dict[str, dict[str, Any]] = {}
    waiting = [name for names in step.inputs.values() for name in names]
    while waiting:
        name = waiting.pop()
        if name not in records:
            records[name] = storage.read_json(f"{step.run_folder}/{name}/{MADE_BY}")
            waiting += [name for names in records[name]["inputs"].values() for name in names]
    return dict(sorted(records.items(), key=lambda item: item[1]["date"]))


def stage_row(name: str, record: dict[str, Any]) -> page.StageRow:
    """Make the row of one step."""
    return page.StageRow(
        name,
        record["rows_in"],
        record["rows_out"],
        record["rejects"],
        record["audio_hours"] or None,
        record["seconds"],
    )


def score_rows(kind: str, by_direction: dict[str, Any]) -> list[page.ScoreRow]:
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
                page.ScoreRow(
                    direction.replace("-", " → "),
                    kind,
                    voices,
                    score["sentences"],
                    share,
                    **{k: score[k] for k in shown},
                )
            )
    return rows


def transcript_rows(step: Step, section: str) -> list[page.Transcripts]:
    """Make the rows of one section of transcripts."""
    scores = storage.read_json(f"{step.run_folder}/{section}/{SCORES_FILE}")
    return [
        page.Transcripts(
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


def sentence_of(row: dict[str, Any], kind: str) -> page.Sentence:
    """Make the text of one translated sentence from a row of SCORES."""
    lang = row["target_lang"]
    return page.Sentence(
        direction=f"{row['source_lang']} → {lang}",
        unit_kind=kind,
        voice=row["voices"],
        source_text=row["source_text"],
        reference=row["reference_text"],
        heard=row["heard_text"],
        content_words=tuple(content_words(normalize_text(row["reference_text"]), lang)),
        heard_words=tuple(content_words(normalize_text(row["heard_text"]), lang)),
    )


def _arrived(sentence: page.Sentence) -> float:
    found = found_words(sentence.content_words, sentence.heard_words)
    return sum(found) / max(1, len(found))


def heard_where_any(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep, of each direction, the rows of voices that training heard; all rows of one that has none."""
    heard = {(row["source_lang"], row["target_lang"]) for row in rows if row["voices"] == "seen"}
    return [row for row in rows if row["voices"] == "seen" or (row["source_lang"], row["target_lang"]) not in heard]


def training_of(folder: str) -> page.Training:
    """Read the curves of one training."""
    lines = [line for line in storage.read_bytes(f"{folder}/metrics.jsonl").decode().splitlines() if line]
    history = [json.loads(line) for line in lines]
    series = []
    for key in CURVES:
        points = [(line["step"], line[key]) for line in history if key in line]
        if points:
            steps, values = zip(*points, strict=True)
            series.append(Series(key, steps, values))
    return page.Training(folder.rpartition("/")[2], tuple(series))


def usages(kind: str, folder: str) -> list[page.UnitUsage]:
    """Count the units of each language."""
    table = datasets.read_table(folder, UNITS, ["lang", "units"])
    by_language: dict[str, list[np.ndarray]] = defaultdict(list)
    for lang, units in zip(table["lang"].to_pylist(), table["units"].to_pylist(), strict=True):
        by_language[lang].append(np.asarray(units, dtype=np.int64))
    num_units = 1 + max(int(units.max()) for sequences in by_language.values() for units in sequences)
    return [
        page.UnitUsage(f"{kind}, {lang}", tuple(np.bincount(np.concatenate(units), minlength=num_units).tolist()))
        for lang, units in sorted(by_language.items())
    ]


def quality_row(row: dict[str, Any]) -> page.UnitQuality:
    """Make the row of one kind of units in one language from a row of UNIT_QUALITY."""
    return page.UnitQuality(**{field.name: row[field.name] for field in dataclasses.fields(page.UnitQuality)})


def summary(kinds: list[str], scored: list[dict[str, Any]]) -> dict[str, Any]:
    """Scores of a run by direction: the first kind of units on voices that training heard, and below it all else.

    A corpus such as FLEURS has none of these in its test split: its scores are all below.
    """
    result: dict[str, Any] = {}
    for direction, by_voices in scored[0].items() if scored else ():
        result[direction] = {MAIN: kinds[0], **by_voices.get("seen", {})}
        if "unseen" in by_voices:
            result[direction]["unseen_voices"] = by_voices["unseen"]
        others = {
            kind: other[direction] for kind, other in zip(kinds[1:], scored[1:], strict=True) if direction in other
        }
        if others:
            result[direction]["other_units"] = others
    return result


STAGE = Stage(
    ReportConfig,
    run,
    reads={
        "manifest": Input(MANIFEST),
        "evaluations": Input(SCORES, many=True, optional=True),
        "translations": Input(TRANSLATIONS, many=True, optional=True),
        "units": Input(UNITS, many=True, optional=True),
        "transcripts": Input(TRANSCRIPTS, many=True, optional=True),
        "unit_quality": Input(UNIT_QUALITY, many=True, optional=True),
        "trainings": Input(many=True, optional=True),
    },
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.report")
