"""Train S2UT: speech to the units of its translation, with auxiliary tasks beside it (Lee et al. 2021)."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.features.filterbank import num_samples_of
from s2st.features.spec_augment import POLICIES
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.schemas import SPEECH_PAIRS
from s2st.speech_decoding import SPEECH_SEARCH, translate_speech
from s2st.speech_to_units import units_info
from s2st.units import NUM_SPECIALS, PAD
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers import generation
from trainers.batches import Examples, pad
from trainers.loop import train
from trainers.objective import Objective, check_best_metric
from trainers.run import LoopConfig, fit
from trainers.speech_pairs import Limits, filterbanks, pair_examples
from trainers.task_targets import MAX_LETTERS, columns_of, labels_of, with_symbols

ROWS = [name for name in SPEECH_PAIRS.names if not name.endswith("_audio")]
TASK = "task."  # before the name of a task, in a batch
GREEDY = dataclasses.replace(SPEECH_SEARCH, beam=1)


@dataclass(frozen=True)
class SpeechToUnitsConfig:
    # its units, languages and the symbols of its tasks come from the data
    model: S2utConfig = field(default_factory=S2utConfig)
    spec_augment: Literal["none", "lb", "ld", "sm", "ss"] = "lb"  # how much of the source is hidden in training
    max_tokens: int = 20_000  # frames (10 ms) of sources a batch, padding included
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.model.languages or any(task.symbols for task in self.model.tasks.values()):
            raise ValueError("model.languages and the symbols of tasks come from the pairs; remove them")


class SpeechToUnitsObjective(Objective):
    """S2ut with its loss, taking one batch."""

    metrics = MappingProxyType({"loss": "min", "accuracy": "max", **generation.METRICS})

    def __init__(self, model: S2ut):
        super().__init__()
        self.model, self.step = model, 0

    def begin_update(self, step: int) -> None:
        """Learn the number of the update, on which the weights of tasks may depend."""
        self.step = step

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss and metrics of a batch of `collate`."""
        tasks = {name.removeprefix(TASK): labels for name, labels in batch.items() if name.startswith(TASK)}
        source = (batch["features"], batch["lengths"])
        loss, metrics = self.model.loss(*source, batch["beginnings"], batch["labels"], tasks, self.step)
        return loss, {"loss": loss, **metrics}

    def validation(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | float]:
        """Give the loss and, of the first batch, how near greedy translations are to their references."""
        _, metrics = self(batch)
        if number:
            return metrics
        few = {name: values[: generation.SENTENCES] for name, values in batch.items()}
        langs = [self.model.config.language(beginning) for beginning in few["beginnings"].tolist()]
        found = translate_speech(self.model, few["features"], few["lengths"], langs, GREEDY)
        references = [row[row >= NUM_SPECIALS].sub(NUM_SPECIALS).tolist() for row in few["labels"]]
        return metrics | generation.unit_metrics(references, [best.units for best, *_ in found])

    def validation_concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if translations of different sources are alike."""
        return generation.collapse(metrics)


def check(config: SpeechToUnitsConfig, step: Step) -> None:
    """Raise UserError for a metric that is not measured."""
    check_best_metric(step, config.loop, SpeechToUnitsObjective)


def run(config: SpeechToUnitsConfig, step: Step) -> Counts:
    """Find units, languages and symbols of tasks in the pairs, and train."""
    pairs = datasets.read_table(step.input("speech_pairs"), SPEECH_PAIRS, ROWS)
    pairs = pairs.filter(pc.is_in(pairs["split"], pa.array(["train", "validation"])))
    units_name, num_units = units_info(step.input("codebook"))
    if set(pairs["codebook"].to_pylist()) - {units_name}:
        raise UserError(f"section '{step.name}': the pairs are not of units of {step.input('codebook')}")
    limits = limits_of(config.model)
    rejects, kept = limits.rejects(pairs), limits(pairs)
    datasets.set_aside(rejects, step.output)
    check_training(step, pairs, kept)
    model = fitted(config.model, kept, num_units, f"section '{step.name}'")
    data = {split: examples_of(config, model, limits, step, split) for split in ("train", "validation")}
    directions = sorted({f"{row['source_lang']}-{row['target_lang']}" for row in kept.to_pylist()})
    settings = {"model": model, "info": {"units": units_name, "directions": directions}}
    fit(step, config.loop, train_worker, settings, data["train"], data["validation"])
    hours = pc.sum(kept["source_samples"]).as_py() / audio.SAMPLE_RATE / 3600
    return Counts(len(pairs), len(kept), len(rejects), round(hours, 4))


def limits_of(config: S2utConfig) -> Limits:
    """What the model can take of pairs: lengths of sources, targets and texts."""
    most = {
        "source_samples": num_samples_of(config.source.max_frames),
        "target_units": (config.max_steps - 1) * config.units_per_step,
    }
    for column in columns_of(config.tasks):
        most[column] = min(most.get(column, MAX_LETTERS), MAX_LETTERS)
    return Limits(most)


def check_training(step: Step, pairs: pa.Table, kept: pa.Table) -> None:
    """Raise UserError if there is nothing to learn."""
    if "train" in kept["split"].to_pylist():
        return
    reason = (
        f"; the usual reason: {datasets.usual_reason(step.output)}" if "train" in pairs["split"].to_pylist() else ""
    )
    raise UserError(f"section '{step.name}': {step.input('speech_pairs')} has no pair to train on{reason}")


def fitted(config: S2utConfig, pairs: pa.Table, num_units: int, where: str) -> S2utConfig:
    """Fill in what the pairs tell: the languages of several targets, and the symbols of tasks."""
    languages = sorted(set(pairs["target_lang"].to_pylist()))
    training = pairs.filter(pc.equal(pairs["split"], "train"))
    return dataclasses.replace(
        config,
        num_units=num_units,
        languages=tuple(languages) if len(languages) > 1 else (),
        tasks=with_symbols(config.tasks, training, num_units, where),
    )


def examples_of(
    config: SpeechToUnitsConfig, model: S2utConfig, limits: Limits, step: Step, split: str
) -> Examples | None:
    """Open a split as batches of features and labels; sources are hidden in part in the training split alone."""
    masks = POLICIES.get(config.spec_augment) if split == "train" else None

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        return filterbanks(rows, model.source.deltas, masks, random) | targets_of(model, rows)

    columns = dict.fromkeys(("target_units", "target_lang", *columns_of(model.tasks)))
    return pair_examples(step.input("speech_pairs"), split, tuple(columns), config.max_tokens, limits, collate)


def targets_of(model: S2utConfig, rows: list[dict[str, Any]]) -> Mapping[str, Tensor]:
    """Give {beginnings (B,), labels (B, L)} of some pairs, and the labels of tasks, all padded with PAD."""
    labels, _ = pad([model.labels(np.asarray(row["target_units"])) for row in rows], PAD)
    tasks = {f"{TASK}{name}": pad([labels_of(task, row) for row in rows], PAD)[0] for name, task in model.tasks.items()}
    return {
        "beginnings": torch.tensor([model.beginning(row["target_lang"]) for row in rows]),
        "labels": labels,
        **tasks,
    }


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    model = S2ut(settings["model"])
    write_model = functools.partial(checkpoint.save, model=model, info=settings["info"])
    train(settings["loop"], settings["run"], SpeechToUnitsObjective(model), write_model)


STAGE = Stage(
    SpeechToUnitsConfig,
    run,
    reads={"speech_pairs": Input(SPEECH_PAIRS), "codebook": Input()},
    check=check,
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.speech_to_units")
