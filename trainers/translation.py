"""Train the unit Transformer: source units to target units, all directions of the pairs in one model.

translator:
  stage: trainers.translation
  pairs: pairs
  codebook: codebook
  translator: denoised            # optional: a model to begin with, of trainers.unit_denoising or an earlier training
  vocoders: [vocoder_en]          # optional: speak the translations of validation, for loop.best_metric: mcd
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st.config import UserError
from s2st.models.unit_transformer import UnitTransformerConfig
from s2st.pairing import pair_directions
from s2st.schemas import PAIRS
from s2st.speech_to_units import units_info
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers import generation
from trainers.examples import Packing, examples
from trainers.objective import check_best_metric
from trainers.run import fit
from trainers.unit_training import (
    WINDOW,
    TranslationObjective,
    UnitTrainingConfig,
    balanced,
    collate,
    learned_directions,
    model_config,
    rejects_of,
    start_of,
    train_worker,
)

COLUMNS = ["pair_id", "source_lang", "target_lang", "source_units", "target_units"]


@dataclass(frozen=True)
class TranslationConfig(UnitTrainingConfig):
    language_symbols: bool = True  # False: source and target say no language, as in the plain Transformer of fairseq

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.languages and not self.language_symbols:
            raise ValueError("languages are those of language_symbols, which are false; leave one of the two out")


def check(config: TranslationConfig, step: Step) -> None:
    """Raise UserError for a metric that is not measured."""
    check_best_metric(step, config.loop, TranslationObjective)
    generation.check_vocoders(step, config.loop.best_metric)


def check_inputs(config: TranslationConfig, step: Step) -> None:
    """Raise UserError if the vocoders speak other units than those of the codebook."""
    generation.check_vocoder_units(step, units_info(step.input("codebook"))[0])


def run(config: TranslationConfig, step: Step) -> Counts:
    """Learn the vocabulary's merges, turn pairs into tokens on the data workers, and train."""
    units = units_info(step.input("codebook"))
    learned = datasets.read_table(step.input("pairs"), PAIRS)
    learned = learned.filter(pc.is_in(learned["split"], pa.array(["train", "validation"])))
    pairs = learned.filter(pc.equal(learned["split"], "train"))
    if not len(pairs):
        raise UserError(f"section '{step.name}': {step.input('pairs')} has no pair in the training split")
    if pc.unique(pairs["codebook"]).to_pylist() != [units[0]]:
        raise UserError(f"section '{step.name}': the pairs are not of units of {step.input('codebook')}")
    generation.check_spoken(step, config.loop.best_metric, pc.unique(learned["target_lang"]).to_pylist())
    directions = Counter(pair_directions(pairs).to_pylist())
    known = {lang for side in ("source_lang", "target_lang") for lang in pc.unique(learned[side]).to_pylist()}
    if not config.language_symbols:
        check_plain(directions, step)
        known = set()
        if step.inputs.get("vocoders") and len(targets := set(learned["target_lang"].to_pylist())) > 1:
            raise UserError(
                f"section '{step.name}': without language_symbols nothing tells whether {' or '.join(sorted(targets))} "
                "is to be spoken; remove the vocoders, or keep one direction"
            )
    model = model_config(config, step, units, known, lambda: both_sides(pairs))
    if model.languages and not config.language_symbols:
        raise UserError(f"section '{step.name}': its translator has language_symbols, so they cannot be false")
    settings = {
        "model": model,
        "start": start_of(step),
        "vocoders": step.input_list("vocoders"),
        "info": {"units": units[0], "directions": learned_directions(step, directions)},
    }
    to_tokens = ToTokens(model)
    times = balanced(config, "direction", directions)
    training, validation = (
        examples(
            step.input("pairs"),
            PAIRS,
            COLUMNS,
            {"split": split},
            Packing(config.max_tokens, WINDOW),
            lambda row: max(len(row["source"]), len(row["target"])),
            collate,
            to_tokens,
            times if split == "train" else None,
        )
        for split in ("train", "validation")
    )
    rejects = too_long(learned, to_tokens, step)
    datasets.set_aside(rejects, step.output)
    if len(pairs) == sum(row["split"] == "train" for row in rejects):
        raise UserError(f"section '{step.name}': all pairs are longer than model.max_positions={model.max_positions}")
    fit(step, config.loop, train_worker, settings, training, validation)
    return Counts(len(learned), len(learned) - len(rejects), len(rejects))


def too_long(pairs: pa.Table, to_tokens: "ToTokens", step: Step) -> list[dict[str, Any]]:
    """Give the pairs that the model has too few positions for: rows of REJECTS."""
    fewest = to_tokens.max_positions - to_tokens.vocabulary.num_source_marks  # units; merges only make a side shorter
    long = [pc.greater(pc.list_value_length(pairs[f"{side}_units"]), fewest) for side in ("source", "target")]
    candidates = pairs.filter(pc.or_(*long))
    kept = to_tokens(candidates)["pair_id"].combine_chunks()
    lost = candidates.filter(pc.invert(pc.is_in(candidates["pair_id"], kept)))
    return rejects_of(lost, ("pair_id", "source_utterance_id", "source_lang"), to_tokens.max_positions, step)


def both_sides(pairs: pa.Table) -> list[np.ndarray]:
    """Give the reduced units of sources, then of targets."""
    return [np.asarray(units) for name in ("source_units", "target_units") for units in pairs[name].to_pylist()]


def check_plain(directions: Mapping[str, int], step: Step) -> None:
    """Raise UserError if a source language has two target languages, and the model no symbol to tell which is meant."""
    sources = Counter(direction.partition("-")[0] for direction in directions)
    lang, count = sources.most_common(1)[0]
    if count > 1:
        raise UserError(
            f"section '{step.name}': '{lang}' is translated to {count} languages, which a model without "
            "language_symbols cannot tell apart; keep one direction of it, or leave language_symbols true"
        )


class ToTokens:
    """Rows of PAIRS to rows {pair_id, direction, source, target} of token ids; what is too long is left out."""

    def __init__(self, config: UnitTransformerConfig):
        self.vocabulary, self.max_positions = config.vocabulary, config.max_positions

    def __call__(self, table: pa.Table) -> pa.Table:
        """Encode both sides."""
        rows = table.to_pylist()
        source = [self.vocabulary.source_tokens(np.asarray(r["source_units"]), r["source_lang"]) for r in rows]
        target = [self.vocabulary.target_tokens(np.asarray(r["target_units"]), r["target_lang"]) for r in rows]
        # the last token of a target is not read
        fits = [max(len(a), len(b) - 1) <= self.max_positions for a, b in zip(source, target, strict=True)]
        tokens = pa.list_(pa.int64())
        return pa.table(
            {
                "pair_id": table["pair_id"],
                "direction": pair_directions(table),
                "source": pa.array(source, tokens),
                "target": pa.array(target, tokens),
            }
        ).filter(pa.array(fits, pa.bool_()))


STAGE = Stage(
    TranslationConfig,
    run,
    check=check,
    reads={
        "pairs": Input(PAIRS),
        "codebook": Input(),
        "translator": Input(optional=True),
        "vocoders": Input(many=True, optional=True),
    },
    check_inputs=check_inputs,
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.translation")
