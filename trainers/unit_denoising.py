"""Pre-train the unit Transformer without pairs: it restores units of which spans are masked, each in its language.

Any units will do, of any languages; with the setting `languages`, those of others are left out. trainers.translation
then begins with the model (input `translator`).

denoised:
  stage: trainers.unit_denoising
  units: units
  codebook: codebook
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from s2st.config import UserError
from s2st.denoising import SpanMasking, mask_spans
from s2st.models.unit_transformer import UnitTransformerConfig
from s2st.schemas import UNITS
from s2st.speech_to_units import units_info
from s2st.units import UnitVocabulary, reduce
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers import unit_training
from trainers.examples import Packing, examples
from trainers.objective import check_best_metric
from trainers.run import fit
from trainers.unit_training import TranslationObjective, UnitTrainingConfig

COLUMNS = ["utterance_id", "lang", "units"]


@dataclass(frozen=True)
class UnitDenoisingConfig(UnitTrainingConfig):
    noise: SpanMasking = field(default_factory=SpanMasking)


def check(config: UnitDenoisingConfig, step: Step) -> None:
    """Raise UserError for a metric that is not measured."""
    check_best_metric(step, config.loop, TranslationObjective)
    if config.loop.best_metric == "mcd":
        raise UserError(f"section '{step.name}': nothing is spoken here; choose another loop.best_metric than mcd")


def run(config: UnitDenoisingConfig, step: Step) -> Counts:
    """Learn the vocabulary's merges, turn utterances into tokens on the data workers, and train."""
    units = units_info(step.input("codebook"))
    rows = datasets.read_table(step.input("units"), UNITS, ["lang", "split", "codebook"])
    if pc.unique(rows["codebook"]).to_pylist() != [units[0]]:
        raise UserError(f"section '{step.name}': {step.input('units')} are not units of {step.input('codebook')}")
    langs: Counter[str] = Counter(rows.filter(pc.field("split") == "train")["lang"].to_pylist())
    learned = learned_languages(config, langs, step)
    rows = rows.filter(learned_from(learned, "train", "validation"))
    model = unit_training.model_config(config, step, units, learned, lambda: training_units(step, learned))
    settings = {
        "model": model,
        "start": unit_training.start_of(step),
        "vocoders": [],
        "info": {"units": units[0], "directions": unit_training.learned_directions(step, [])},
    }
    to_tokens = ToTokens(model, learned)
    rejects = too_long(to_tokens, step)
    datasets.set_aside(rejects, step.output)
    times = unit_training.balanced(config, "lang", {lang: langs[lang] for lang in learned})
    training, validation = (
        examples(
            step.input("units"),
            UNITS,
            COLUMNS,
            {"split": split},
            Packing(config.max_tokens, unit_training.WINDOW),
            lambda row: len(row["tokens"]) + model.vocabulary.num_source_marks,
            functools.partial(noised, vocabulary=model.vocabulary, noise=config.noise),
            to_tokens,
            times if split == "train" else None,
        )
        for split in ("train", "validation")
    )
    fit(step, config.loop, unit_training.train_worker, settings, training, validation)
    return Counts(len(rows), len(rows) - len(rejects), len(rejects))


def learned_languages(config: UnitDenoisingConfig, counts: Mapping[str, int], step: Step) -> tuple[str, ...]:
    """Give the setting languages, or those of the training rows; raises UserError for one that has no row (counts)."""
    learned = config.languages or tuple(sorted(counts))
    if not learned:
        raise UserError(f"section '{step.name}': {step.input('units')} have no row in the training split")
    if missing := [lang for lang in learned if not counts.get(lang)]:
        raise UserError(
            f"section '{step.name}': languages has '{missing[0]}', of which {step.input('units')} have no training row "
            f"(they have {', '.join(sorted(counts))}); remove it"
        )
    return learned


def learned_from(langs: Sequence[str], *splits: str) -> pc.Expression:
    """Tell the rows of UNITS that are of these languages and splits."""
    return pc.field("split").isin(splits) & pc.field("lang").isin(langs)


def training_units(step: Step, langs: tuple[str, ...]) -> list[np.ndarray]:
    """Give the reduced units of the training split, in these languages."""
    rows = datasets.read_table(step.input("units"), UNITS, ["units"], learned_from(langs, "train"))
    return [reduce(np.asarray(units))[0] for units in rows["units"].to_pylist()]


def too_long(to_tokens: "ToTokens", step: Step) -> list[dict[str, Any]]:
    """Give the utterances that the model has too few positions for: rows of REJECTS."""
    learned = learned_from(to_tokens.langs, "train", "validation")
    long = pc.list_value_length(pc.field("durations")) > to_tokens.most  # reduced units; merges only make them fewer
    candidates = datasets.read_table(step.input("units"), UNITS, [*COLUMNS, "split"], learned & long)
    kept = to_tokens(candidates)["utterance_id"].combine_chunks()
    lost = candidates.filter(pc.invert(pc.is_in(candidates["utterance_id"], kept)))
    return unit_training.rejects_of(lost, ("utterance_id", "utterance_id", "lang"), to_tokens.max_positions, step)


class ToTokens:
    """Rows of UNITS to rows {utterance_id, lang, tokens}; other languages and what is too long are left out."""

    def __init__(self, config: UnitTransformerConfig, langs: tuple[str, ...]):
        self.vocabulary, self.langs, self.max_positions = config.vocabulary, pa.array(langs), config.max_positions
        self.most = self.max_positions - self.vocabulary.num_source_marks

    def __call__(self, table: pa.Table) -> pa.Table:
        """Reduce and encode the units."""
        table = table.filter(pc.is_in(table["lang"], self.langs))
        tokens = [self.vocabulary.encode(reduce(np.asarray(units))[0]) for units in table["units"].to_pylist()]
        encoded = table.select(["utterance_id", "lang"]).append_column("tokens", pa.array(tokens, pa.list_(pa.int64())))
        return encoded.filter(pa.array([0 < len(row) <= self.most for row in tokens], pa.bool_()))


def noised(
    rows: list[Mapping[str, Any]], random: np.random.Generator, vocabulary: UnitVocabulary, noise: SpanMasking
) -> dict[str, Tensor]:
    """Make a batch of rows of ToTokens: noised units as sources, whole ones as targets."""
    pairs = []
    for row in rows:
        tokens = np.asarray(row["tokens"])
        source = mask_spans(tokens, vocabulary.mask, noise, random)
        source = source[: len(tokens)]  # few tokens with many inserted masks must not pass the model's positions
        pairs.append(
            {"source": vocabulary.as_source(source, row["lang"]), "target": vocabulary.as_target(tokens, row["lang"])}
        )
    return unit_training.collate(pairs, random)


STAGE = Stage(
    UnitDenoisingConfig,
    run,
    reads={"units": Input(UNITS), "codebook": Input(), "translator": Input(optional=True)},
    resumes=True,
    check=check,
)

if __name__ == "__main__":
    main("trainers.unit_denoising")
