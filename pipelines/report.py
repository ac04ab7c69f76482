"""Tell a whole run on one page: what was done, what it scores, how it sounds."""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.listening import choose, resyntheses_of, sounds_of, write_sounds
from pipelines.report_rows import (
    SCORES_FILE,
    quality_row,
    score_rows,
    sentence_of,
    stage_row,
    training_of,
    transcript_rows,
    usages,
    voice_rows,
)
from s2st import storage
from s2st.config import UserError
from s2st.evaluation.report import render
from s2st.evaluation.report_content import Listening, Report, Sentence
from s2st.evaluation.scores import found_words
from s2st.schemas import (
    MANIFEST,
    RESYNTHESES,
    RESYNTHESIS_SCORES,
    SCORES,
    TRANSCRIPTS,
    TRANSLATIONS,
    UNIT_QUALITY,
    UNITS,
)
from s2st.speech_to_units import describe_units
from stages import datasets
from stages.run import main
from stages.stage import MADE_BY, Counts, Input, Stage, Step, commit, machine

MAIN = "units"  # key of the unit kind in scores.json


@dataclass(frozen=True)
class ReportConfig:
    title: str = "Speech-to-speech translation"
    listening: int = 4  # sentences of each direction, and recordings of each vocoder and language, with their sound
    sentences: int = 8  # best, and worst


def check(config: ReportConfig, step: Step) -> None:
    """Raise UserError unless each evaluation has translations and units, and scores of voices have their speech."""
    evaluations, translations, units = (step.inputs.get(name, []) for name in ("evaluations", "translations", "units"))
    if (evaluations or translations) and not len(evaluations) == len(translations) == len(units):
        raise UserError(f"section '{step.name}': name as many evaluations as translations and units, in one order")
    if len(set(evaluations)) < len(evaluations):
        raise UserError(f"section '{step.name}': an evaluation is named twice; name each section once")
    if len(step.inputs.get("voice_scores", [])) != len(step.inputs.get("resyntheses", [])):
        raise UserError(f"section '{step.name}': name as many voice_scores as resyntheses, in one order")


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
    sections = list(zip(step.inputs.get("voice_scores", []), step.inputs.get("resyntheses", []), strict=True))
    voices = [row for section, _ in sections for row in voice_rows(step, section)]
    records = records_of(step)
    manifest = records[step.inputs["manifest"][0]]
    page_content = Report(
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
        listening=tuple(Listening(sentence_of(row, kinds[0]), *sounds[row["pair_id"]]) for row in listening),
        voices=tuple(voices),
        resyntheses=tuple(row for names in sections for row in resyntheses_of(step, *names, config.listening)),
        best=tuple(ranked[: config.sentences]),
        worst=tuple(ranked[::-1][: config.sentences]),
    )
    storage.write_bytes(f"{step.output}/index.html", render(page_content).encode())
    storage.write_json(f"{step.output}/scores.json", summary(kinds, scored))
    write_sounds(step.output, listening, sounds)
    num_rows = sum(map(len, rows)) + len(quality) + sum(row.num_utterances for row in heard)
    num_rows += sum(row.num_recordings for row in voices)
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


def _arrived(sentence: Sentence) -> float:
    found = found_words(sentence.content_words, sentence.heard_words)
    return sum(found) / max(1, len(found))


def heard_where_any(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep, of each direction, the rows of voices that training heard; all rows of one that has none."""
    heard = {(row["source_lang"], row["target_lang"]) for row in rows if row["voices"] == "seen"}
    return [row for row in rows if row["voices"] == "seen" or (row["source_lang"], row["target_lang"]) not in heard]


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
        "voice_scores": Input(RESYNTHESIS_SCORES, many=True, optional=True),
        "resyntheses": Input(RESYNTHESES, many=True, optional=True),
        "trainings": Input(many=True, optional=True),
    },
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.report")
