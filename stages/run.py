"""Run steps on Ray: each in a task of its own, those that do not depend on each other at the same time."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ray

from s2st.config import UserError
from stages import run_folder
from stages.cluster import connect, set_up_data
from stages.console import open_console
from stages.datasets import REJECTS_FOLDER
from stages.recipe import find_recipe, open_recipe
from stages.stage import Step, config_of, execute, finished, load_stage

# Ray Data survives the loss of a node that works on its rows, but not of one that reads footers for it: this comes as
# an error that cannot be unpickled.
LOSSES = [
    ray.exceptions.RayActorError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.UnserializableException,
]


@ray.remote(num_cpus=0, max_retries=2, retry_exceptions=LOSSES)
def run_step(step: Step) -> dict[str, Any]:
    """Execute a step on a worker, again if that or another is lost; a user's mistake comes back as {"error"}."""
    set_up_data()
    try:
        run_folder.reach(step.run_folder)
        return execute(step)
    except UserError as error:  # of a worker, Ray hands it on with its own trace around it
        return {"error": str(getattr(error, "cause", error))}


def run_steps(
    steps: Sequence[Step], parallel: int, redo: bool = False, tell: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Run steps as soon as their inputs are there, `parallel` workers' worth at once; returns their records.

    Steps whose output is there, made from the same inputs and settings, are skipped. Raises UserError for a
    user's mistake, and if another run works in the same folder.
    """
    with run_folder.alone(steps[0].run_folder):
        done = done_before(steps, redo=True)
        waiting = [step for step in steps if step.name not in done]
        for step in waiting:  # before anybody is told to add --redo
            load_stage(step.stage).check(config_of(step), step)
        records = done_before(steps, redo)
        for step in steps:
            if step.name in records:
                tell(f"{step.name}: done before, {_rows_out(records[step.name])}")
        if waiting:
            _run(waiting, records, parallel, tell)
    return [records[step.name] for step in steps]


def done_before(steps: Sequence[Step], redo: bool) -> dict[str, dict[str, Any]]:
    """Get the records of the steps that need not run; raises UserError for an output that others would replace."""
    names = {step.name for step in steps}
    records: dict[str, dict[str, Any]] = {}
    for step in steps:
        new_inputs = bool(_inputs(step) & names - set(records))
        record = finished(step, redo, new_inputs)
        if record is not None:
            records[step.name] = record
    return records


def _inputs(step: Step) -> set[str]:
    return {section for sections in step.inputs.values() for section in sections}


def _run(waiting: list[Step], records: dict[str, dict[str, Any]], parallel: int, tell: Callable[[str], None]) -> None:
    """Run the waiting steps, and add their records to `records`."""
    total = len(records) + len(waiting)
    if not (ray.is_initialized() or os.environ.get("RAY_ADDRESS")):
        tell("Ray starts")  # in ten seconds, or a minute where the machine is busy
    address = connect()
    if os.environ.get("RAY_ADDRESS"):
        run_folder.check_nodes(waiting[0].run_folder)
    take_lines = open_console()
    running: dict[Any, Step] = {}
    try:
        while waiting or running:
            for step in _ready(waiting, [*waiting, *running.values()]):
                if running and sum(map(_cores, running.values())) + _cores(step) > parallel:
                    break  # in the recipe's order, so that a step that needs many cores is not put off for ever
                waiting.remove(step)
                tell(f"{step.name}: starts ({step.stage})")
                running[_task(step, address).remote(step)] = step
            done, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
            for line in take_lines():
                tell(line)
            for reference in done:
                step, record = running.pop(reference), ray.get(reference)
                if "error" in record:
                    raise UserError(record["error"])
                records[step.name] = record
                tell(f"[{len(records)}/{total}] {step.name}: {describe(step, record)}")
    finally:
        for reference in running:  # of a run that failed: no step writes on when the folder is free for another run
            ray.cancel(reference, force=True)


def _ready(waiting: Sequence[Step], unfinished: Sequence[Step]) -> list[Step]:
    """List the steps whose inputs are all done, in the recipe's order."""
    names = {step.name for step in unfinished}
    return [step for step in waiting if not names & _inputs(step)]


def _task(step: Step, address: str) -> Any:
    """Make the task of a step.

    RAY_ADDRESS keeps Ray Train's helpers at this cluster when the machine runs another one too. Steps without
    training workers do without it: an environment of their own would cost them Ray's ready processes.
    """
    # On a shared cluster a step asks for a little of a CPU, which keeps its work off a head that has none.
    task = run_step.options(num_cpus=0.01) if os.environ.get("RAY_ADDRESS") else run_step
    if _training_workers(step) == 0:
        return task
    return task.options(runtime_env={"env_vars": {"RAY_ADDRESS": address}})


def _training_workers(step: Step) -> int:
    """Number of Ray Train workers of a step."""
    return getattr(getattr(config_of(step), "loop", None), "num_workers", 0)


def _cores(step: Step) -> int:
    """Number of cores that a step keeps busy."""
    return max(1, _training_workers(step))


def describe(step: Step, record: Mapping[str, Any]) -> str:
    """Say in a line what went into a step and came out of it."""
    rejects = ""
    if record["rejects"]:
        rejects = f", {_counted(record['rejects'], 'rejects')}"
        if reason := record["usual_reason"]:
            most = "most: " if record["rejects"] > 1 else ""
            rejects += f" ({most}{reason}; see {step.output}/{REJECTS_FOLDER})"
    return f"{_counted(record['rows_in'], 'rows')} in, {_rows_out(record)} out{rejects}, {record['seconds']:.0f} s"


def _rows_out(record: Mapping[str, Any]) -> str:
    return _counted(record["rows_out"], record.get("unit", "rows"))  # older records have none


def _counted(number: int, things: str) -> str:
    return f"{number} {things.removesuffix('s') if number == 1 else things}"


def parse_arguments(module: str, description: str) -> argparse.Namespace:
    """Read the command line that stages and recipes share; its parts may stand in any order."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("recipe", nargs="?", help="demo, or another name in recipes/, or a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings other than the recipe's")
    parser.add_argument(
        "--redo",
        action="store_true",
        help="replace what other settings or inputs made or began; what these made is kept",
    )
    arguments = parser.parse_intermixed_args()
    if arguments.recipe is None or "=" in arguments.recipe:
        parser.error("name a recipe, for example demo")
    return arguments


def stop_on_mistakes(command: Callable[[], None]) -> None:
    """Run a command; a user's mistake ends it with one sentence and exit status 2, Ctrl-C with status 130."""
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def main(module: str) -> None:
    """Entry point of a stage's module: run the sections of a recipe that use it."""

    def command() -> None:
        arguments = parse_arguments(module, f"Run the sections of a recipe whose stage is {module}.")
        path = find_recipe(arguments.recipe)
        _, steps, parallel = open_recipe(path, arguments.overrides)
        chosen = [step for step in steps if step.stage == module]
        if not chosen:
            raise UserError(f"{path} has no section with 'stage: {module}'; add one")
        run_steps(chosen, parallel, arguments.redo)

    stop_on_mistakes(command)
