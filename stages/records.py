"""Records of the steps that a step stands on."""

from collections.abc import Collection, Iterable
from typing import Any

from s2st import storage
from stages.stage import MADE_BY, Step


def records_of(step: Step) -> dict[str, dict[str, Any]]:
    """Read the records of all steps that a step stands on."""
    return records_below(step.run_folder, [name for names in step.inputs.values() for name in names])


def records_below(run_folder: str, sections: Iterable[str], without: Collection[str] = ()) -> dict[str, dict[str, Any]]:
    """Read the records of sections and of all that they stand on, by section, in the order in which they were made.

    Inputs of the names in `without` are not followed.
    """
    records: dict[str, dict[str, Any]] = {}
    waiting = list(sections)
    while waiting:
        name = waiting.pop()
        if name not in records:
            records[name] = storage.read_json(f"{run_folder}/{name}/{MADE_BY}")
            inputs = records[name]["inputs"].items()
            waiting += [below for kind, names in inputs if kind not in without for below in names]
    return dict(sorted(records.items(), key=lambda item: item[1]["date"]))
