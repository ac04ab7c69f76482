"""What a stage is: named inputs, settings, one output folder, and a record of how it was made."""

import dataclasses
import datetime
import hashlib
import importlib
import json
import os
import platform
import subprocess
import time
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from s2st import storage
from s2st.config import UserError, build, to_mapping
from stages import datasets

MADE_BY = "_made_by.json"  # written last: a folder with it is whole
TRAINING_COST = "_training_cost.json"  # in the folder of a training: core_seconds and worker_seconds
BEGUN = "_begun.json"  # written first: a folder with it is ours, to go on in or to delete
ROOMS = ("pipelines", "trainers")


@dataclasses.dataclass(frozen=True)
class Input:
    """One input of a stage."""

    schema: pa.Schema | None = None  # of a dataset; None for a folder with a model
    many: bool = False  # a list of sections
    optional: bool = False


@dataclasses.dataclass(frozen=True)
class Counts:
    """What went in and came out of a step; rows_in = rows_out + rejects wherever rows keep their identity."""

    rows_in: int
    rows_out: int
    rejects: int = 0
    audio_hours: float = 0.0
    unit: str = "rows"  # what comes out, where it is not the rows that went in


def nothing(config: Any, step: "Step") -> None:
    """Check nothing."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A kind of step; every module of pipelines/ and trainers/ that can be run has one, named STAGE."""

    config: type
    run: Callable[[Any, "Step"], Counts]
    reads: Mapping[str, Input]
    resumes: bool = False  # what a killed run of the same settings and inputs left is kept, and `run` goes on from it
    # Mistakes are told before they cost anything. Both raise UserError: `check` for what the settings, the names of
    # inputs and files from outside tell, before any step runs; `check_inputs` for what the inputs tell once they are
    # there, before the step's old output is deleted.
    check: Callable[[Any, "Step"], None] = nothing
    check_inputs: Callable[[Any, "Step"], None] = nothing


@dataclasses.dataclass(frozen=True)
class Step:
    """A section of a recipe, ready to run."""

    name: str
    stage: str  # module, for example pipelines.dump_units
    run_folder: str
    settings: dict[str, Any]  # as the recipe has them
    inputs: dict[str, list[str]]  # input -> names of sections
    recipe: str = ""  # file it comes from

    @property
    def output(self) -> str:
        """Folder that the step writes."""
        return f"{self.run_folder}/{self.name}"

    @property
    def working_folder(self) -> str:
        """Folder for what a step keeps while it runs, such as the checkpoints of a training."""
        return f"{self.run_folder}/_working"

    def input(self, name: str) -> str:
        """Folder of the input `name`."""
        return self.input_list(name)[0]

    def input_list(self, name: str) -> list[str]:
        """Folders of the input `name`, which may be several or none."""
        return [f"{self.run_folder}/{section}" for section in self.inputs.get(name, [])]


def resource(default: Any) -> Any:
    """Declare a setting that changes how fast a step runs, but not what it makes."""
    return dataclasses.field(default=default, metadata={"resource": True})


def load_stage(name: str) -> Stage:
    """Import the stage that a section names; raises UserError for anything but a stage of ours."""
    room = name.partition(".")[0]
    try:
        if room not in ROOMS:
            raise ModuleNotFoundError(name=name)
        return importlib.import_module(name).STAGE
    except (ModuleNotFoundError, AttributeError) as error:
        if isinstance(error, ModuleNotFoundError) and not name.startswith(str(error.name)):
            raise  # the stage is there, but something it imports is not
        raise UserError(f"'{name}' is not a stage; a stage is a module such as pipelines.ingest") from None


def config_of(step: Step) -> Any:
    """Build the config of a step; raises UserError for what is wrong in its settings."""
    return build(load_stage(step.stage).config, step.settings, step.name)


def fingerprint(step: Step) -> str:
    """Name what a step makes: a hash of its stage, its settings and its inputs, as they were made last."""
    settings = _without_resources(load_stage(step.stage).config, to_mapping(config_of(step)))
    inputs = {name: [_origin(step, section) for section in sections] for name, sections in step.inputs.items()}
    described = json.dumps([step.stage, settings, inputs], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _without_resources(kind: type, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of settings what only changes speed, at any depth."""
    hints = typing.get_type_hints(kind)
    kept = {}
    for field in dataclasses.fields(kind):
        value = settings[field.name]
        if dataclasses.is_dataclass(hints[field.name]) and isinstance(value, Mapping):
            kept[field.name] = _without_resources(hints[field.name], value)
        elif not field.metadata.get("resource"):
            kept[field.name] = value
    return kept


def _origin(step: Step, section: str) -> list[str]:
    """Name an input: its fingerprint, and when it was made, since a corpus may have grown in between."""
    record = _read_record(step, section)
    return [record["fingerprint"], record["date"]]


def _read_record(step: Step, section: str) -> dict[str, Any]:
    try:
        return storage.read_json(f"{step.run_folder}/{section}/{MADE_BY}")
    except FileNotFoundError:
        raise UserError(
            f"step '{step.name}' reads {step.run_folder}/{section}, which is not there yet; "
            f"run that section first (python -m recipes RECIPE runs all in order)"
        ) from None


def finished(step: Step, redo: bool = False, new_inputs: bool = False) -> dict[str, Any] | None:
    """Return the record of a step that is done with these settings and inputs, None if it is to be run.

    `new_inputs` says that its inputs will be made first. Raises UserError if its folder was made, or begun by a stage
    that resumes, by other settings or from other inputs, unless `redo` allows to make it anew.
    """
    address = f"{step.output}/{MADE_BY}"
    if not storage.is_file(address):
        begun = _begun(step) if load_stage(step.stage).resumes else None
        if begun and not (redo or new_inputs or begun == fingerprint(step)):
            raise UserError(
                f"{step.output} was begun with other settings or inputs, and would go on with those; "
                f"choose another folder with run=..., or add --redo to begin anew"
            )
        return None
    record = storage.read_json(address)
    if not new_inputs and record["fingerprint"] == fingerprint(step):
        return record
    if redo:
        return None
    raise UserError(
        f"{step.output} was made {_difference(step, record)}; "
        f"choose another folder with run=..., or add --redo to replace it"
    )


def _difference(step: Step, record: Mapping[str, Any]) -> str:
    kind = load_stage(step.stage).config
    new = _without_resources(kind, to_mapping(config_of(step)))
    old = {key: value for key, value in record["settings"].items() if key in new}
    if set(old) == set(new):
        old = _without_resources(kind, record["settings"])
    for key in new:
        if old.get(key) != new[key]:
            return f"with {_changed(key, old.get(key), new[key])}"
    return "from other inputs, or before they were made again"


def _changed(key: str, old: Any, new: Any) -> str:
    """Say what a setting was and is; of a section, the first setting that changed."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for inner in new:
            if old.get(inner) != new[inner]:
                return _changed(f"{key}.{inner}", old.get(inner), new[inner])
    return f"{key}={old!r}, and now {key}={new!r}"


def execute(step: Step) -> dict[str, Any]:
    """Run a step and write its record last, so that a folder with a record is whole."""
    stage = load_stage(step.stage)
    config = config_of(step)
    made = fingerprint(step)
    stage.check_inputs(config, step)
    if not (stage.resumes and _begun(step) == made and not storage.is_file(f"{step.output}/{MADE_BY}")):
        _clear(step, made)
    start, cpu_start = time.time(), time.process_time()
    counts = stage.run(config, step)
    record = {
        "step": step.name,
        "stage": step.stage,
        "settings": to_mapping(config),
        "inputs": step.inputs,
        "fingerprint": made,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        **dataclasses.asdict(counts),
        "usual_reason": datasets.usual_reason(step.output) if counts.rejects else None,
        "seconds": round(time.time() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu_start, 1),  # of its own process, without its workers
    }
    storage.write_json(f"{step.output}/{MADE_BY}", record)
    return record


def _begun(step: Step) -> str | None:
    """Fingerprint of the run that began in the folder of a step."""
    try:
        return storage.read_json(f"{step.output}/{BEGUN}").get("fingerprint")
    except FileNotFoundError:
        return None


def _clear(step: Step, made: str) -> None:
    """Empty the folder of a step; one that no step began is not ours to delete."""
    begun = f"{step.output}/{BEGUN}"
    ours = storage.is_file(begun) or storage.is_file(f"{step.output}/{MADE_BY}")
    if not ours and storage.list_files(step.output, ""):
        raise UserError(f"{step.output} holds files that no step made; choose another folder with run=...")
    storage.delete_folder(step.output)
    storage.write_json(begun, {"step": step.name, "machine": machine(), "fingerprint": made})


def commit() -> str:
    """Name the commit that runs, with + for uncommitted changes; 'unknown' outside of a checkout."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=10"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return done.stdout.strip() or "unknown"


def machine() -> str:
    """Describe the machine in a few words."""
    return f"{os.cpu_count()} CPU, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"
