"""Run a whole recipe: every step in order, finished ones skipped, and a table at the end.

python -m recipes demo [section.key=value ...]
"""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.compare_approaches import TABLE
from pipelines.report_steps import elapsed_seconds
from s2st import storage
from stages.recipe import find_recipe, open_recipe
from stages.run import parse_arguments, run_steps, stop_on_mistakes
from stages.stage import Step


def summarise(recipe: str, steps: Sequence[Step], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Collect what a run did: a row a step, and by step scores, transcripts, quality of units, voices and speech.

    Approaches that it compared are rows of one table.
    """
    kept = ("rows_in", "rows_out", "rejects", "audio_hours", "seconds")
    stages = [{"stage": record["step"], **{key: record[key] for key in kept}} for record in records]
    scores: dict[str, Any] = {}
    approaches: list[dict[str, Any]] = []
    measured: dict[str, dict[str, Any]] = {
        "pipelines.transcribe": {},
        "pipelines.unit_quality": {},
        "pipelines.score_resynthesis": {},
        "pipelines.score_continuations": {},
    }
    for step in steps:
        if step.stage == "pipelines.report":
            scores = storage.read_json(f"{step.output}/scores.json")
        if step.stage == "pipelines.compare_approaches":
            approaches += storage.read_json(f"{step.output}/{TABLE}")
        if step.stage in measured:
            measured[step.stage][step.name] = storage.read_json(f"{step.output}/_scores.json")
    last = max(records, key=lambda record: record["date"])
    return {
        "recipe": recipe,
        "commit": last["commit"],
        "date": last["date"],
        "machine": last["machine"],
        "minutes": round(elapsed_seconds(records) / 60, 1),
        "stages": stages,
        "scores": scores,
        "approaches": approaches,
        "transcripts": measured["pipelines.transcribe"],
        "unit_quality": measured["pipelines.unit_quality"],
        "voices": measured["pipelines.score_resynthesis"],
        "language_models": measured["pipelines.score_continuations"],
    }


def table(steps: Sequence[Step], records: Sequence[Mapping[str, Any]]) -> str:
    """Lay out the closing table."""
    lines = [f"{'step':24} {'rows':>8} {'rejects':>8} {'hours':>7} {'seconds':>8}  output"]
    for step, record in zip(steps, records, strict=True):
        lines.append(
            f"{step.name:24} {record['rows_out']:8} {record['rejects']:8} {record['audio_hours']:7.2f} "
            f"{record['seconds']:8.1f}  {_short(step.output)}"
        )
    return "\n".join(lines)


def _short(path: str) -> str:
    """Leave out the current folder, but not in a Ray job, which runs in a copy of the folder of who submitted it."""
    return path if "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ else path.removeprefix(f"{Path.cwd()}/")


def _closing(steps: Sequence[Step]) -> list[str]:
    """Say where the results of a run are."""
    lines, wav, lang = [], "in.wav", "LANG"
    for step in steps:
        if step.stage == "pipelines.compare_approaches":
            lines.append(f"\n{storage.read_bytes(f'{step.output}/table.md').decode()}")
        if step.stage == "pipelines.report":
            lines.append(f"report:        {_short(step.output)}/index.html")
            wavs = [_short(path) for path in storage.list_files(f"{step.output}/listen", ".wav")]
            lines += [f"listen:        {path}" for path in wavs[:4]]
            wav, lang = next(((path, path.split("_")[-2].split("-")[1]) for path in wavs), (wav, lang))
    if model := _first_model(steps):
        folder = _short(model.output)
        lines.append(f"model:         {folder}")
        python = _short(sys.executable)
        lines.append(f"translate:     {python} -m s2st translate {wav} --to {lang} -o out.wav --model {folder}")
        lines.append(f"serve:         make serve MODEL={folder}")
    return lines


def _first_model(steps: Sequence[Step]) -> Step | None:
    """Find the model that the report shows first, or else the last one assembled."""
    by_name = {step.name: step for step in steps}
    shown = [name for step in steps if step.stage == "pipelines.report" for name in step.inputs.get("translations", [])]
    found = [by_name[by_name[name].inputs["model"][0]] for name in shown[:1]]
    return next(iter(found + [step for step in reversed(steps) if step.stage == "pipelines.assemble"]), None)


def run_recipe(path: str, overrides: Sequence[str], redo: bool = False) -> None:
    """Run the steps of a recipe, write its summary, and print its table and where the results are."""
    _, steps, parallel = open_recipe(path, overrides)
    records = run_steps(steps, parallel, redo)
    summary = summarise(Path(path).stem, steps, records)
    storage.write_json(f"{steps[0].run_folder}/summary.json", summary)
    print(table(steps, records))
    print("\n".join(_closing(steps)))
    print(f"summary:       {_short(steps[0].run_folder)}/summary.json")


def main() -> None:
    """Run the recipe that the command line names."""
    arguments = parse_arguments("recipes", "Run every step of a recipe; finished ones are skipped.")
    run_recipe(find_recipe(arguments.recipe), arguments.overrides, arguments.redo)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    stop_on_mistakes(main)
