"""Train the unit Transformer: source units to target units, all directions of the pairs in one model."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from s2st.schemas import PAIRS
from s2st.speech_to_units import units_info
from s2st.units import PAD, UnitVocabulary, fit_merges
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.batches import Packing, examples, pad
from trainers.loop import train
from trainers.objective import Objective
from trainers.run import LoopConfig, fit

WINDOW = 1 << 14  # pairs that are shuffled and packed together: they are smaller than speech


@dataclass(frozen=True)
class TranslationConfig:
    # its units, languages and merges come from the data
    model: UnitTransformerConfig = field(default_factory=UnitTransformerConfig)
    num_merges: int = 0  # byte-pair merges of units, learned from the training pairs; 0 is the plain UTUT
    languages: tuple[str, ...] = ()  # of the vocabulary; none means those of the pairs
    max_tokens: int = 24_000  # of a batch, padding included, on the longer side
    loop: LoopConfig = field(default_factory=LoopConfig)


class TranslationObjective(Objective):
    """The unit Transformer with its loss, taking one batch."""

    def __init__(self, translator: UnitTransformer):
        super().__init__()
        self.translator = translator

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss and metrics of a batch {source (B, S), source_lengths (B,), target (B, T + 1)}."""
        logits = self.translator(batch["source"], batch["source_lengths"], batch["target"])
        loss, metrics = self.translator.loss(logits, batch["target"])
        return loss, {"loss": loss, **metrics}


def run(config: TranslationConfig, step: Step) -> Counts:
    """Learn the vocabulary's merges, turn pairs into tokens on the data workers, and train."""
    units_name, num_units = units_info(step.input("codebook"))
    learned = datasets.read_table(step.input("pairs"), PAIRS)
    learned = learned.filter(pa.compute.is_in(learned["split"], pa.array(["train", "validation"])))
    pairs = learned.filter(pa.compute.equal(learned["split"], "train"))
    if not len(pairs):
        raise UserError(f"section '{step.name}': {step.input('pairs')} has no pair in the training split")
    if set(pairs["codebook"].to_pylist()) != {units_name}:
        raise UserError(f"section '{step.name}': the pairs are not of units of {step.input('codebook')}")
    sides = [np.asarray(units) for name in ("source_units", "target_units") for units in pairs[name].to_pylist()]
    directions = sorted({f"{row['source_lang']}-{row['target_lang']}" for row in pairs.to_pylist()})
    known = {lang for side in ("source_lang", "target_lang") for lang in learned[side].unique().to_pylist()}
    languages = config.languages or tuple(sorted(known))
    if missing := sorted(known - set(languages)):
        raise UserError(f"section '{step.name}': the pairs have '{missing[0]}', which its setting languages lacks")
    merges = fit_merges(sides, config.num_merges, num_units) if config.num_merges else ()
    model = dataclasses.replace(config.model, num_units=num_units, languages=languages, merges=merges)
    settings = {"model": model, "info": {"units": units_name, "directions": directions}}
    training, validation = (
        examples(
            step.input("pairs"),
            PAIRS,
            ["pair_id", "source_lang", "target_lang", "source_units", "target_units"],
            {"split": split},
            Packing(config.max_tokens, WINDOW),
            lambda row: max(len(row["source"]), len(row["target"])),
            collate,
            ToTokens(model.vocabulary),
        )
        for split in ("train", "validation")
    )
    fit(step, config.loop, train_worker, settings, training, validation)
    return Counts(len(pairs), len(pairs))


class ToTokens:
    """Rows of PAIRS to rows {pair_id, source, target} of token ids."""

    def __init__(self, vocabulary: UnitVocabulary):
        self.vocabulary = vocabulary

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode both sides."""
        rows = table.to_pylist()
        source = [self.vocabulary.source_tokens(np.asarray(r["source_units"]), r["source_lang"]) for r in rows]
        target = [self.vocabulary.target_tokens(np.asarray(r["target_units"]), r["target_lang"]) for r in rows]
        tokens = pa.list_(pa.int64())
        columns = {"source": pa.array(source, tokens), "target": pa.array(target, tokens)}
        return pa.table({"pair_id": table["pair_id"], **columns})


def collate(rows: list[Mapping[str, Any]], random: np.random.Generator) -> dict[str, Tensor]:
    """Pad token ids."""
    source, source_lengths = pad([np.asarray(row["source"]) for row in rows], PAD)
    target, _ = pad([np.asarray(row["target"]) for row in rows], PAD)
    return {"source": source, "source_lengths": source_lengths, "target": target}


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    translator = UnitTransformer(settings["model"])
    write_model = functools.partial(checkpoint.save, model=translator, info=settings["info"])
    train(settings["loop"], settings["run"], TranslationObjective(translator), write_model)


STAGE = Stage(TranslationConfig, run, reads={"pairs": Input(PAIRS), "codebook": Input()}, resumes=True)

if __name__ == "__main__":
    main("trainers.translation")
