"""Tell a whole run on one page: what was done, what it scores, how it sounds."""

import datetime
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from pipelines.compare_approaches import read_table
from pipelines.listening import choose, continuations_of, listening_of, resyntheses_of, write_sounds
from pipelines.report_rows import (
    SCORES_FILE,
    phone_rows,
    quality_rows,
    training_of,
    transcript_rows,
    usages,
    voice_rows,
)
from pipelines.report_steps import HourPrices, data_rows, elapsed_seconds, reject_rows, stage_rows
from pipelines.report_translations import (
    best_and_worst,
    evaluations_of,
    failures_of,
    main_rows,
    notes_of,
    score_rows,
    summary,
)
from pipelines.unit_quality import PHONES_FILE
from s2st import storage
from s2st.config import UserError
from s2st.evaluation.report import render
from s2st.evaluation.report_content import Report
from s2st.schemas import (
    CONTINUATION_SCORES,
    CONTINUATIONS,
    MANIFEST,
    RESYNTHESES,
    RESYNTHESIS_SCORES,
    SCORES,
    TRANSCRIPTS,
    TRANSLATIONS,
    UNIT_QUALITY,
    UNITS,
)
from stages import datasets
from stages.records import records_of
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, commit, machine


@dataclass(frozen=True)
class ReportConfig:
    title: str = "Speech-to-speech translation"
    listening: int = 4  # sentences of each direction, and recordings of each vocoder and language, with their sound
    sentences: int = 8  # best, and worst
    prices: HourPrices | None = None  # of the machines, for what the run has cost


def check(config: ReportConfig, step: Step) -> None:
    """Raise UserError unless each evaluation has translations and units, and scores of voices have their speech."""
    evaluations, translations, units = (step.inputs.get(name, []) for name in ("evaluations", "translations", "units"))
    if (evaluations or translations) and not len(evaluations) == len(translations) == len(units):
        raise UserError(f"section '{step.name}': name as many evaluations as translations and units, in one order")
    if len(set(evaluations)) < len(evaluations):
        raise UserError(f"section '{step.name}': an evaluation is named twice; name each section once")
    for scores, speech in (("voice_scores", "resyntheses"), ("continuation_scores", "continuations")):
        if len(step.inputs.get(scores, [])) != len(step.inputs.get(speech, [])):
            raise UserError(f"section '{step.name}': name as many {scores} as {speech}, in one order")


def check_inputs(config: ReportConfig, step: Step) -> None:
    """Raise UserError for scores of another name or form, as those of older versions have."""
    known = {folder: storage.is_file(f"{folder}/{SCORES_FILE}") for folder in step.input_list("evaluations")}
    for folder in step.input_list("transcripts"):
        scores = storage.read_json(f"{folder}/{SCORES_FILE}")
        known[folder] = all("recordings" not in by_voices for by_voices in scores.values())
    known.update({folder: storage.is_file(f"{folder}/{PHONES_FILE}") for folder in step.input_list("unit_quality")})
    if old := [folder for folder, current in known.items() if not current]:
        raise UserError(f"section '{step.name}': {old[0]} is of an older version; delete it and run again")


def run(config: ReportConfig, step: Step) -> Counts:
    """Gather the records, scores, curves and sounds of a run, and write index.html, scores.json and listen/."""
    report, evaluated = gather(config, step), evaluations_of(step)
    storage.write_bytes(f"{step.output}/index.html", render(report).encode())
    storage.write_json(f"{step.output}/scores.json", summary(evaluated))
    write_sounds(step.output, report.listening)
    num_rows = sum(len(each.rows) for each in evaluated) + len(report.unit_quality)
    num_rows += sum(row.num_utterances for row in report.transcripts)
    num_rows += sum(row.num_recordings for row in report.voices)
    num_rows += sum(
        len(datasets.read_table(folder, CONTINUATION_SCORES, ["kind"]))
        for folder in step.input_list("continuation_scores")
    )
    return Counts(num_rows, num_rows)


def gather(config: ReportConfig, step: Step, pairs: Set[str] | None = None) -> Report:
    """Gather what a report shows; `pairs` names those that may be listened to, if not all."""
    evaluated, records = evaluations_of(step), records_of(step)
    manifest = records[step.inputs["manifest"][0]]
    audible = [row for row in main_rows(evaluated) if pairs is None or row["pair_id"] in pairs]
    chosen, (best, worst) = choose(audible, config.listening), best_and_worst(evaluated, config.sentences)
    voices = list(zip(step.inputs.get("voice_scores", []), step.inputs.get("resyntheses", []), strict=True))
    models = list(zip(step.inputs.get("continuation_scores", []), step.inputs.get("continuations", []), strict=True))
    qualities = step.input_list("unit_quality")
    return Report(
        title=config.title,
        recipe=Path(step.recipe).name,
        commit=commit(),
        date=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=machine(),
        corpus=next(name for name, value in manifest["settings"].items() if isinstance(value, dict)),
        corpus_hours=manifest["audio_hours"],
        synthetic=manifest["settings"].get("phrasebook") is not None,
        elapsed_seconds=elapsed_seconds(list(records.values())),
        data=tuple(data_rows(step.input("manifest"))),
        stages=tuple(stage_rows(step, records, config.prices)),
        approaches=tuple(row for folder in step.input_list("comparison") for row in read_table(folder)),
        scores=tuple(row for each in evaluated for row in score_rows(each)),
        notes=tuple(notes_of(evaluated)),
        transcripts=tuple(row for name in step.inputs.get("transcripts", []) for row in transcript_rows(step, name)),
        trainings=tuple(training_of(folder) for folder in step.input_list("trainings")),
        unit_quality=tuple(row for folder in qualities for row in quality_rows(folder)),
        unit_phones=tuple(row for folder in qualities for row in phone_rows(folder)),
        unit_usages=tuple(row for folder in dict.fromkeys(step.input_list("units")) for row in usages(folder)),
        listening=tuple(listening_of(step, evaluated[0], chosen)) if chosen else (),
        voices=tuple(row for name, _ in voices for row in voice_rows(step, name)),
        resyntheses=tuple(row for names in voices for row in resyntheses_of(step, *names, config.listening)),
        language_models={name: storage.read_json(f"{step.run_folder}/{name}/{SCORES_FILE}") for name, _ in models},
        continuations=tuple(row for names in models for row in continuations_of(step, *names, config.listening)),
        best=best,
        worst=worst,
        failures=tuple(row for each in evaluated for row in failures_of(each)),
        rejects=tuple(reject_rows(step, records)),
    )


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
        "continuation_scores": Input(CONTINUATION_SCORES, many=True, optional=True),
        "continuations": Input(CONTINUATIONS, many=True, optional=True),
        "trainings": Input(many=True, optional=True),
        "comparison": Input(optional=True),
    },
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.report")
