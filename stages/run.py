"""Run steps on Ray: each in a task of its own, those that do not depend on each other at the same time."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import ray

from s2st.config import UserError, build, load_recipe
from stages.cluster import connect, set_up_data
from stages.console import open_console
from stages.stage import Step, execute, finished, load_stage, parse_steps


@ray.remote(num_cpus=0, max_retries=0)
def run_step(step: Step) -> dict[str, Any]:
    """Execute a step on a worker; a user's mistake comes back as {"error"}, without a traceback."""
    set_up_data()
    try:
        return execute(step)
    except UserError as error:
        return {"error": str(error)}


def run_steps(
    steps: Sequence[Step], parallel: int, redo: bool = False, tell: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """Run steps as soon as their inputs are there, `parallel` workers' worth at once; returns their records.

    Steps whose output is there, made from the same inputs and settings, are skipped. Raises UserError for a
    user's mistake in a step, and if another run works in the same folder.
    """
    with _alone(steps[0].run_folder):
        return _run_alone(steps, parallel, redo, tell)


@contextlib.contextmanager
def _alone(run_folder: str) -> Iterator[None]:
    """Keep a second run out of a local folder while this one works there; buckets have no locks."""
    if "://" in run_folder:
        yield
        return
    try:
        Path(run_folder).mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(f"{run_folder}/.lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(
            f"another run is at work in {run_folder}; wait for its end, or choose another folder with run=..."
        ) from None
    except OSError as error:
        raise UserError(f"cannot write to {run_folder}: {error.strerror}; choose another folder with run=...") from None
    try:
        yield
    finally:
        lock.release()


def _run_alone(steps: Sequence[Step], parallel: int, redo: bool, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    address = connect()
    take_lines = open_console()
    records: dict[str, dict[str, Any]] = {}
    waiting, running = list(steps), {}
    must_run: set[str] = set()  # names of steps that were looked at and are not done
    try:
        while waiting or running:
            ready = _ready(waiting, [*waiting, *running.values()])
            if unchecked := [step for step in ready if step.name not in must_run]:
                done_before = {step.name: record for step in unchecked if (record := finished(step, redo))}
                for name, record in done_before.items():
                    records[name] = record
                    tell(f"[{len(records)}/{len(steps)}] {name}: done before, {record['rows_out']} rows")
                must_run |= {step.name for step in unchecked} - set(done_before)
                waiting = [step for step in waiting if step.name not in done_before]
                continue  # other steps may be ready now, and one of them may be the first in the recipe
            for step in ready:
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
                tell(f"[{len(records)}/{len(steps)}] {step.name}: {_describe(record)}")
    finally:
        for reference in running:  # of a run that failed: no step writes on when the folder is free for another run
            ray.cancel(reference, force=True)
    return [records[step.name] for step in steps]


def _ready(waiting: Sequence[Step], unfinished: Sequence[Step]) -> list[Step]:
    """List the steps whose inputs are all done, in the recipe's order."""
    names = {step.name for step in unfinished}
    return [step for step in waiting if not any(names & set(inputs) for inputs in step.inputs.values())]


def _task(step: Step, address: str) -> Any:
    """Make the task of a step.

    RAY_ADDRESS keeps Ray Train's helpers at this cluster when the machine runs another one too. Steps without
    training workers do without it: an environment of their own would cost them Ray's ready processes.
    """
    # On a shared cluster a step asks for a CPU, which keeps its work off a head that has none.
    task = run_step.options(num_cpus=1) if os.environ.get("RAY_ADDRESS") else run_step
    if _training_workers(step) == 0:
        return task
    return task.options(runtime_env={"env_vars": {"RAY_ADDRESS": address}})


def _training_workers(step: Step) -> int:
    """Number of Ray Train workers of a step."""
    config = build(load_stage(step.stage).config, step.settings, step.name)
    return getattr(getattr(config, "loop", None), "num_workers", 0)


def _cores(step: Step) -> int:
    """Number of cores that a step keeps busy."""
    return max(1, _training_workers(step))


def _describe(record: dict[str, Any]) -> str:
    rejects = f", {record['rejects']} rejects" if record["rejects"] else ""
    return f"{record['rows_in']} rows in, {record['rows_out']} out{rejects}, {record['seconds']:.0f} s"


def open_recipe(path: str, overrides: Sequence[str]) -> tuple[dict[str, Any], list[Step], int]:
    """Read a recipe: its mapping, its steps, and how many workers may run at once."""
    recipe = load_recipe(path, overrides)
    parallel = recipe.get("parallel", os.cpu_count() or 1)
    if not isinstance(parallel, int) or parallel < 1:
        raise UserError(f"'parallel' in {path} must be a whole number of at least 1, found {parallel!r}")
    return recipe, parse_steps(recipe, path), parallel


def parse_arguments(description: str) -> argparse.Namespace:
    """Read the command line that stages and recipes share; its parts may stand in any order."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("recipe", help="a YAML file, for example recipes/demo.yaml")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="settings other than the recipe's")
    parser.add_argument("--redo", action="store_true", help="replace outputs that other settings made")
    return parser.parse_intermixed_args()


def stop_on_mistakes(command: Callable[[], None]) -> None:
    """Run a command; a user's mistake ends it with one sentence and exit status 2."""
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def main(module: str) -> None:
    """Entry point of a stage's module: run the sections of a recipe that use it."""

    def command() -> None:
        arguments = parse_arguments(f"Run the sections of a recipe whose stage is {module}.")
        _, steps, parallel = open_recipe(arguments.recipe, arguments.overrides)
        chosen = [step for step in steps if step.stage == module]
        if not chosen:
            raise UserError(f"{arguments.recipe} has no section with 'stage: {module}'; add one")
        for record in run_steps(chosen, parallel, arguments.redo):
            print(f"{record['step']}: {_describe(record)}")

    stop_on_mistakes(command)
