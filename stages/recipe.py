"""Recipes: from a name to the steps of an experiment.

A recipe's section is a step: the stage that it runs, its inputs (names of other sections) and its settings.

    units:                            # the step's name, and its folder in the run
      stage: pipelines.dump_units
      manifest: manifest              # an input: the section `manifest`
      max_workers: 4                  # a setting
"""

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from s2st import storage
from s2st.config import UserError, load_recipe, unknown
from stages.stage import Stage, Step, config_of, load_stage

RECIPES = Path(__file__).parents[1] / "recipes"
RESERVED = ("title", "run", "parallel")  # keys of a recipe that are not sections


def find_recipe(name: str) -> str:
    """Turn `demo` into the path of recipes/demo.yaml; a path stays as it is."""
    if name.endswith((".yaml", ".yml")):
        return name
    path = RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(recipe.stem for recipe in RECIPES.glob("*.yaml")))
        raise UserError(f"there is no recipe '{name}' (known: {known}); give one of these or a path to a YAML file")
    return str(path)


def open_recipe(path: str, overrides: Sequence[str]) -> tuple[dict[str, Any], list[Step], int]:
    """Read a recipe: its mapping, its steps, and how many workers may run at once."""
    recipe = load_recipe(path, overrides)
    parallel = recipe.get("parallel", os.cpu_count() or 1)
    if not isinstance(parallel, int) or parallel < 1:
        raise UserError(f"'parallel' in {path} must be a whole number of at least 1, found {parallel!r}")
    return recipe, parse_steps(recipe, path), parallel


def parse_steps(recipe: Mapping[str, Any], path: str = "") -> list[Step]:
    """Turn a recipe into its steps, in order; every input must be a section above its reader."""
    run_folder = storage.absolute(str(recipe.get("run", "")))
    if not recipe.get("run"):
        raise UserError("the recipe has no 'run'; add the folder of its output, for example run: runs/demo")
    steps: list[Step] = []
    for name, section in recipe.items():
        if name in RESERVED:
            continue
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise UserError(f"'{name}' cannot name a section; take letters, digits and _, beginning with a letter")
        if not isinstance(section, dict) or not isinstance(section.get("stage"), str):
            raise UserError(f"section '{name}' of the recipe needs a 'stage', for example stage: pipelines.ingest")
        stage = load_stage(section["stage"])
        settings = {k: v for k, v in section.items() if k != "stage" and k not in stage.reads}
        inputs = {k: _names(section[k]) for k in stage.reads if section.get(k) is not None}
        step = Step(name, section["stage"], run_folder, settings, inputs, path)
        _check_keys(step, stage)
        _check_inputs(step, stage, {earlier.name for earlier in steps})
        config_of(step)
        steps.append(step)
    if not steps:
        raise UserError("the recipe has no sections; look at recipes/demo.yaml for an example")
    return steps


def _names(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _check_keys(step: Step, stage: Stage) -> None:
    """Raise UserError for a key that is none of the stage's; where it lists them, inputs come first."""
    known = [*stage.reads, *(field.name for field in dataclasses.fields(stage.config))]
    for key in step.settings:
        if key not in known:
            raise UserError(f"section '{step.name}': {unknown('input or setting', str(key), known)}")


def _check_inputs(step: Step, stage: Stage, known: set[str]) -> None:
    for name, spec in stage.reads.items():
        sections = step.inputs.get(name, [])
        if not sections and not spec.optional:
            raise UserError(f"section '{step.name}' needs the input '{name}'; name the section that makes it")
        if len(sections) > 1 and not spec.many:
            raise UserError(f"section '{step.name}' takes one '{name}', found {', '.join(sections)}")
        for section in sections:
            if section not in known:
                raise UserError(f"section '{step.name}' reads '{section}', which no section above it makes")
