"""Train a unit language model: it learns which unit follows, from one language's utterances alone (GSLM).

Each utterance is a sample of its own, as with fairseq's --sample-break-mode eos.

language_model:
  stage: trainers.unit_language_model
  units: units
  codebook: codebook
  lang: en
"""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.schemas import UNITS
from s2st.speech_to_units import units_info
from s2st.units import PAD, reduce
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.examples import Examples, Packing, examples, pad
from trainers.loop import train
from trainers.objective import Objective, check_best_metric
from trainers.run import LoopConfig, fit
from trainers.unit_training import WINDOW, rejects_of

COLUMNS = ["utterance_id", "lang", "units"]


@dataclass(frozen=True)
class UnitLanguageModelConfig:
    lang: str  # that it speaks
    model: UnitLmConfig = field(default_factory=UnitLmConfig)  # its number of units comes from the codebook
    max_tokens: int = 4096  # of a batch, padding included; an utterance may have model.max_positions
    loop: LoopConfig = field(default_factory=LoopConfig)


class LanguageModelObjective(Objective):
    """The language model with its loss, taking one batch."""

    weight = "tokens"
    metrics = MappingProxyType({"loss": "min"})

    def __init__(self, language_model: UnitLm):
        super().__init__()
        self.language_model = language_model

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss, in nats, and metrics of a batch {tokens (B, T + 1)}."""
        loss, metrics = self.language_model.loss(self.language_model(batch["tokens"]), batch["tokens"])
        return loss, {"loss": loss, **metrics}


def check(config: UnitLanguageModelConfig, step: Step) -> None:
    """Raise UserError for a metric that is not measured."""
    check_best_metric(step, config.loop, LanguageModelObjective)


def run(config: UnitLanguageModelConfig, step: Step) -> Counts:
    """Turn utterances into tokens on the data workers, and train."""
    name, num_units = units_info(step.input("codebook"))
    model = dataclasses.replace(config.model, num_units=num_units)
    learned = (pc.field("lang") == config.lang) & pc.field("split").isin(["train", "validation"])
    rows = datasets.read_table(step.input("units"), UNITS, ["utterance_id", "lang", "split", "codebook"], learned)
    if not len(rows):
        known = sorted(set(datasets.read_table(step.input("units"), UNITS, ["lang"])["lang"].to_pylist()))
        raise UserError(f"section '{step.name}': no units to learn from in '{config.lang}' (found: {', '.join(known)})")
    if pc.unique(rows["codebook"]).to_pylist() != [name]:
        raise UserError(f"section '{step.name}': {step.input('units')} are not units of {step.input('codebook')}")
    long = pc.list_value_length(pc.field("durations")) >= model.max_positions  # the end before takes one position
    lost = datasets.read_table(step.input("units"), UNITS, ["utterance_id", "lang", "split"], learned & long)
    rejects = rejects_of(lost, ("utterance_id", "utterance_id", "lang"), model.max_positions, step)
    datasets.set_aside(rejects, step.output)
    settings = {"model": model, "info": {"units": name, "lang": config.lang}}
    training, validation = (open_split(config, model, step, split) for split in ("train", "validation"))
    fit(step, config.loop, train_worker, settings, training, validation)
    return Counts(len(rows), len(rows) - len(rejects), len(rejects))


def open_split(config: UnitLanguageModelConfig, model: UnitLmConfig, step: Step, split: str) -> Examples | None:
    """Open the utterances of the language in a split as batches of tokens."""
    return examples(
        step.input("units"),
        UNITS,
        COLUMNS,
        {"lang": config.lang, "split": split},
        Packing(config.max_tokens, WINDOW),
        lambda row: len(row["tokens"]) - 1,  # the last token is not read
        collate,
        ToTokens(model),
    )


class ToTokens:
    """Rows of UNITS to rows {utterance_id, tokens}; what is empty or too long is left out."""

    def __init__(self, config: UnitLmConfig):
        self.vocabulary, self.max_positions = config.vocabulary, config.max_positions

    def __call__(self, table: pa.Table) -> pa.Table:
        """Reduce and encode the units: </s> units </s>."""
        reduced = [reduce(np.asarray(units))[0] for units in table["units"].to_pylist()]
        tokens = [self.vocabulary.target_tokens(units, "") for units in reduced]
        encoded = table.select(["utterance_id"]).append_column("tokens", pa.array(tokens, pa.list_(pa.int64())))
        return encoded.filter(pa.array([0 < len(units) < self.max_positions for units in reduced], pa.bool_()))


def collate(rows: list[Mapping[str, Any]], random: np.random.Generator) -> dict[str, Tensor]:
    """Pad token ids: rows {tokens} -> tokens (B, T + 1)."""
    return {"tokens": pad([np.asarray(row["tokens"]) for row in rows], PAD)[0]}


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    language_model = UnitLm(settings["model"])
    write_model = functools.partial(checkpoint.save, model=language_model, info=settings["info"])
    train(settings["loop"], settings["run"], LanguageModelObjective(language_model), write_model)


STAGE = Stage(
    UnitLanguageModelConfig,
    run,
    reads={"units": Input(UNITS), "codebook": Input()},
    resumes=True,
    check=check,
)

if __name__ == "__main__":
    main("trainers.unit_language_model")
