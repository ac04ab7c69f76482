"""Put ways to translate speech into one table: what each needs, what its training cost, how fast and how good it is.

Scores are those of pipelines.evaluate, speeds of pipelines.measure_speed; parts, trainings and the use of text are read
from models and from the records of the steps that made them.
"""

import dataclasses
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pipelines.approach_origin import Origin, origin_of
from pipelines.measure_speed import SPEEDS
from pipelines.report_rows import SCORES_FILE
from s2st import storage
from s2st.config import UserError
from s2st.evaluation.approaches import Approach, markdown
from s2st.schemas import SCORES
from stages.run import main
from stages.stage import MADE_BY, Counts, Input, Stage, Step

TABLE, MARKDOWN = "table.json", "table.md"
SAME = ("manifest", "recognizers")  # inputs that evaluations must share to be compared


@dataclass(frozen=True)
class CompareApproachesConfig:
    names: dict[str, str] = field(default_factory=dict)  # of approaches, by evaluation; else that of the section


def check(config: CompareApproachesConfig, step: Step) -> None:
    """Raise UserError for a name of nothing, and for an evaluation or a name that is there twice."""
    evaluations = step.inputs["evaluations"]
    if unknown := sorted(set(config.names) - set(evaluations)):
        raise UserError(f"section '{step.name}': names has '{unknown[0]}', which is not among its evaluations")
    if twice := [name for name, count in Counter(evaluations).items() if count > 1]:
        raise UserError(f"section '{step.name}': the evaluation '{twice[0]}' is named twice; name it once")
    shown = Counter(config.names.get(evaluation, evaluation) for evaluation in evaluations)
    if alike := [name for name, count in shown.items() if count > 1]:
        raise UserError(f"section '{step.name}': two evaluations are called '{alike[0]}'; give them different names")


def check_inputs(config: CompareApproachesConfig, step: Step) -> None:
    """Raise UserError for evaluations of other recordings, another split or by other judges than the first."""
    protocols = {_protocol(step, section): section for section in step.inputs["evaluations"]}
    if len(protocols) > 1:
        raise UserError(
            f"section '{step.name}': {' and '.join(protocols.values())} are judged by the protocols "
            f"{' and '.join(protocols)}; only evaluations by one can be compared"
        )
    splits = {_split(step, section): section for section in step.inputs["evaluations"]}
    if len(splits) > 1:
        raise UserError(
            f"section '{step.name}': {' and '.join(splits.values())} judge the splits {' and '.join(splits)}; only "
            "evaluations of one can be compared"
        )
    first, *others = step.inputs["evaluations"]
    for other in others:
        for kind in SAME:
            ours, theirs = (_inputs(step, section)[kind] for section in (first, other))
            if sorted(ours) != sorted(theirs):
                raise UserError(
                    f"section '{step.name}': {other} has the {kind} {', '.join(theirs)}, but {first} has "
                    f"{', '.join(ours)}; only evaluations that share them can be compared"
                )


def run(config: CompareApproachesConfig, step: Step) -> Counts:
    """Gather a row an approach and direction; write table.json and table.md."""
    models = {evaluation: _model(step, evaluation) for evaluation in step.inputs["evaluations"]}
    origins = {model: origin_of(step.run_folder, model) for model in models.values()}
    speeds = storage.read_json(f"{step.input('speeds')}/{SPEEDS}") if step.inputs.get("speeds") else {}
    approaches = [
        approach(config.names.get(evaluation, evaluation), direction, origins, model, speeds.get(model, {}), by_voices)
        for evaluation, model in models.items()
        for direction, by_voices in storage.read_json(f"{step.run_folder}/{evaluation}/{SCORES_FILE}").items()
    ]
    storage.write_json(f"{step.output}/{TABLE}", [dataclasses.asdict(row) for row in approaches])
    storage.write_bytes(f"{step.output}/{MARKDOWN}", markdown(approaches).encode())
    return Counts(len(models), len(approaches), unit="approaches")


def read_table(folder: str) -> list[Approach]:
    """Read the rows that `run` wrote."""
    return [Approach(**row) for row in storage.read_json(f"{folder}/{TABLE}")]


def approach(
    name: str,
    direction: str,
    origins: dict[str, Origin],
    model: str,
    speeds: dict[str, Any],
    by_voices: dict[str, dict[str, Any]],
) -> Approach:
    """Make the row of one approach and direction, from its speeds by direction and its scores by voices."""
    origin = origins[model]
    times = Counter(training for other in origins.values() for training in other.trainings)
    return Approach(
        name=name,
        direction=direction,
        needs_text=origin.needs_text,
        parameters=origin.parameters,
        trainings=origin.trainings,
        gpu_seconds=origin.gpu_seconds,
        trained_elsewhere=origin.elsewhere,
        shared=tuple(training for training in origin.trainings if times[training] > 1),
        speed=speeds[direction]["cpu_seconds_per_second"] if direction in speeds else None,
        scores=by_voices.get("seen") or by_voices["unseen"],
        new_voice=by_voices.get("unseen") if "seen" in by_voices else None,
    )


def _model(step: Step, evaluation: str) -> str:
    """Name the section of the model that an evaluation judges."""
    return str(_inputs(step, _inputs(step, evaluation)["translations"][0])["model"][0])


def _split(step: Step, evaluation: str) -> str:
    """Read of which split an evaluation judges the translations."""
    (translations,) = _inputs(step, evaluation)["translations"]
    return str(storage.read_json(f"{step.run_folder}/{translations}/{MADE_BY}")["settings"]["split"])


def _protocol(step: Step, section: str) -> str:
    """Read by which protocol an evaluation was judged."""
    return str(storage.read_json(f"{step.run_folder}/{section}/{MADE_BY}")["settings"].get("protocol", "plain"))


def _inputs(step: Step, section: str) -> dict[str, list[str]]:
    """Read what a section was made of: input -> names of sections."""
    inputs: dict[str, list[str]] = storage.read_json(f"{step.run_folder}/{section}/{MADE_BY}")["inputs"]
    return inputs


STAGE = Stage(
    CompareApproachesConfig,
    run,
    reads={"evaluations": Input(SCORES, many=True), "speeds": Input(optional=True)},
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.compare_approaches")
