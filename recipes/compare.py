"""Show finished runs on one page: python -m recipes.compare runs/A runs/B [-o compare.html].

It has their scores with intervals, the settings that differ, the curves of trainings of the same name, and the same
sentences as each run speaks them.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.report import ReportConfig, check_inputs, gather
from pipelines.report_translations import evaluations_of, main_rows
from s2st import storage
from s2st.config import UserError, build
from s2st.evaluation.comparison import Comparison, Setting, curves, render
from s2st.evaluation.report_content import Report
from stages.records import records_of
from stages.run import stop_on_mistakes
from stages.stage import MADE_BY, Step

NONE = "–"


def report_step(run: str) -> tuple[Step, dict[str, Any]]:
    """Find the report of a run: its step and its record; raises UserError if there is none."""
    folder = storage.absolute(run)
    names = {path.split("/")[-2] for path in storage.list_files(folder, f"/{MADE_BY}")}
    found = [f"{folder}/{name}/{MADE_BY}" for name in sorted(names) if storage.is_file(f"{folder}/{name}/{MADE_BY}")]
    reports = [record for record in map(storage.read_json, found) if record["stage"] == "pipelines.report"]
    if not reports:
        raise UserError(f"{run} has no report yet; finish the run first (python -m recipes NAME run={run})")
    record = max(reports, key=lambda record: record["date"])
    recipe = f"{folder}/summary.json"
    name = f"{storage.read_json(recipe)['recipe']}.yaml" if storage.is_file(recipe) else NONE
    return Step(record["step"], record["stage"], folder, record["settings"], record["inputs"], name), record


def compare(runs: Sequence[str], listening: int) -> Comparison:
    """Gather the reports of runs; raises UserError for one named twice or without report, or if nothing is shared."""
    if len({storage.absolute(run) for run in runs}) < len(runs):
        raise UserError("a run is named twice; name each folder once")
    if len(runs) < 2:
        raise UserError("there is nothing to compare with; name two folders of runs or more")
    steps, pairs = [], []
    for run in runs:
        step, record = report_step(run)
        config = dataclasses.replace(build(ReportConfig, record["settings"], step.name), listening=listening)
        check_inputs(config, step)
        steps.append((config, step, record))
        pairs.append({row["pair_id"] for row in main_rows(evaluations_of(step))})
    common = set.intersection(*pairs)
    reports = [_as_made(gather(config, step, common), record) for config, step, record in steps]
    settings = differing([records_of(step) for _, step, _ in steps])
    comparison = Comparison(_names(runs), tuple(reports), tuple(settings))
    if not (common or curves(comparison) or _same_tables(reports)):
        raise UserError(
            f"{' and '.join(runs)} have no direction, language or training in common; compare runs of one recipe"
        )
    return comparison


def _names(runs: Sequence[str]) -> tuple[str, ...]:
    """Name runs by their folders, without what lies before where that tells them apart."""
    names = tuple(Path(run).name for run in runs)
    return names if len(set(names)) == len(names) else tuple(runs)


def _as_made(report: Report, record: Mapping[str, Any]) -> Report:
    """Say of a report when, where and by what code it was made."""
    date = record["date"][:16].replace("T", " ") + " UTC"
    return dataclasses.replace(report, commit=record["commit"], date=date, machine=record["machine"])


def _same_tables(reports: Sequence[Report]) -> bool:
    """Tell whether all runs have scores of one direction, or transcripts, voices or units of one language."""
    for table, key in (("scores", "direction"), ("transcripts", "lang"), ("voices", "lang"), ("unit_quality", "lang")):
        if set.intersection(*({getattr(row, key) for row in getattr(report, table)} for report in reports)):
            return True
    return False


def differing(runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Setting]:
    """List the settings and inputs that differ between the records of runs; of a section that some lack, the stage."""
    rows = []
    for section in dict.fromkeys(name for records in runs for name in records):
        described = [_describe(records[section]) if section in records else {} for records in runs]
        for name in dict.fromkeys(name for known in described for name in known):
            there = {known.get(name, NONE) for known in described if known}
            if len(there) > 1 or (name == "stage" and not all(described)):
                rows.append(Setting(section, name, tuple(known.get(name, NONE) for known in described)))
    return rows


def _describe(record: Mapping[str, Any]) -> dict[str, str]:
    """Flatten the stage, inputs and settings of a record: {"loop.max_steps": "500"}."""
    inputs = {name: ", ".join(sections) for name, sections in record["inputs"].items()}
    return {"stage": record["stage"], **inputs, **_flat(record["settings"])}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in settings.items():
        found.update(
            _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": str(value)}
        )
    return found


def main() -> None:
    """Write the page that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m recipes.compare", description="Show finished runs on one page.")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a finished run, such as runs/demo")
    parser.add_argument("-o", "--output", default="compare.html", help="file to write (%(default)s)")
    parser.add_argument("--listening", type=int, default=4, help="sentences of each direction to hear (%(default)s)")
    arguments = parser.parse_args()
    storage.write_bytes(arguments.output, render(compare(arguments.runs, arguments.listening)).encode())
    print(f"comparison:    {Path(arguments.output)}")


if __name__ == "__main__":
    stop_on_mistakes(main)
