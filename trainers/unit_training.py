"""What trainings of the unit Transformer share, translation and denoising: settings, vocabulary, beginning, worker."""

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from s2st import checkpoint
from s2st.beam_search import SearchOptions
from s2st.config import UserError, build, to_mapping
from s2st.decoding import translate_tokens
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig, grow
from s2st.pairing import target_languages
from s2st.units import PAD, fit_merges
from stages.console import tell
from stages.stage import Step
from trainers import generation
from trainers.balance import repetitions
from trainers.examples import pad
from trainers.loop import train
from trainers.objective import Objective
from trainers.run import LoopConfig

WINDOW = 1 << 14  # rows that are shuffled and packed together: they are smaller than speech
TRAINED_WITH = ("dropout", "attention_dropout", "activation_dropout", "label_smoothing")  # may differ from the start's


@dataclass(frozen=True)
class UnitTrainingConfig:
    # Its units, languages and merges come from the data. With the input `translator`, all else comes from that model,
    # but for the dropouts and label_smoothing.
    model: UnitTransformerConfig = field(default_factory=UnitTransformerConfig)
    num_merges: int = 0  # byte-pair merges of units, learned from the training rows; 0 is the plain UTUT
    languages: tuple[str, ...] = ()  # of the vocabulary; none means those of the data
    temperature: float = 1.0  # above 1, what is rare comes more often: see trainers.balance
    max_tokens: int = 24_000  # of a batch, padding included, on the longer side
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.temperature < 1:
            raise ValueError(f"temperature={self.temperature} must be 1, which leaves the data as they are, or more")


class TranslationObjective(Objective):
    """The unit Transformer with its loss, taking one batch."""

    weight = "tokens"
    metrics = MappingProxyType({"loss": "min", "accuracy": "max", **generation.METRICS})

    def __init__(self, translator: UnitTransformer, target_langs: Sequence[str], vocoders: Sequence[str] = ()):
        """`target_langs` are those of the training, `vocoders` folders of what speaks its validation."""
        super().__init__()
        self.translator, self.target_langs = translator, target_langs
        self.voices = generation.Voices(vocoders) if vocoders else None

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss and metrics of a batch {source (B, S), source_lengths (B,), target (B, T + 1)}."""
        logits = self.translator(batch["source"], batch["source_lengths"], batch["target"])
        loss, metrics = self.translator.loss(logits, batch["target"])
        return loss, {"loss": loss, **metrics}

    def validation(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | float]:
        """Give the loss and, of the first batch, how near greedy translations are to their references."""
        _, metrics = self(batch)
        if number:
            return metrics
        source, lengths, target = (
            batch[name][: generation.SENTENCES] for name in ("source", "source_lengths", "target")
        )
        found = translate_tokens(self.translator, source, lengths, target[:, 0], SearchOptions(beam=1))
        references = [self.translator.vocabulary.decode(row) for row in target.cpu().numpy()]
        language = self.translator.vocabulary.language
        langs = [language(symbol) or self.target_langs[0] for symbol in target[:, 0].tolist()]
        return metrics | generation.measure(langs, references, [best.units for (best,) in found], self.voices)

    def validation_concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if translations of different sources are alike."""
        return generation.collapse(metrics)


def model_config(
    config: UnitTrainingConfig,
    step: Step,
    units: tuple[str, int],
    known: Collection[str],
    sequences: Callable[[], Iterable[np.ndarray]],
) -> UnitTransformerConfig:
    """Say what the model is: of `units` (fingerprint, number) and the languages that the data have (`known`).

    Merges are learned from reduced `sequences`. A model that is begun with (input `translator`) keeps its own merges
    and languages, in their order, and gets the new ones behind. Raises UserError for a language of the data that the
    setting leaves out, and for a translator of other units or merges.
    """
    name, num_units = units
    if missing := sorted(set(known) - set(config.languages or known)):
        raise UserError(f"section '{step.name}': the data have '{missing[0]}', which its setting languages lacks")
    languages = config.languages or tuple(sorted(known))
    folder = start_of(step)
    if folder is None:
        merges = fit_merges(sequences(), config.num_merges, num_units) if config.num_merges else ()
        return dataclasses.replace(config.model, num_units=num_units, languages=languages, merges=merges)
    found = checkpoint.read_config(folder, "unit_transformer")
    start = build(UnitTransformerConfig, found["config"], folder)
    if found["info"]["units"] != name:
        raise UserError(f"section '{step.name}': the translator {folder} knows other units than those of the data")
    if config.num_merges not in (0, len(start.merges)):
        raise UserError(
            f"section '{step.name}': num_merges={config.num_merges}, but the translator {folder} has "
            f"{len(start.merges)}, and keeps them; leave num_merges out"
        )
    if languages and not start.languages:
        raise UserError(f"section '{step.name}': the translator {folder} has no language symbols, so it can learn none")
    _check_settings(config.model, start, step)
    settings = {setting: getattr(config.model, setting) for setting in TRAINED_WITH}
    new = [lang for lang in languages if lang not in start.languages]
    return dataclasses.replace(start, languages=(*start.languages, *new), **settings)


def _check_settings(given: UnitTransformerConfig, start: UnitTransformerConfig, step: Step) -> None:
    """Raise UserError if settings of a model, which are not those it is made with by default, are not the start's."""
    made, begun = to_mapping(given), to_mapping(start)
    for name, default in to_mapping(UnitTransformerConfig()).items():
        value, own = made[name], begun[name]
        if name not in TRAINED_WITH and value not in (default, own):
            raise UserError(
                f"section '{step.name}': model.{name}={value}, but its translator has {own}, and keeps it; "
                f"leave {name} out"
            )


def start_of(step: Step) -> str | None:
    """Folder of the model that a training begins with, if its input `translator` is there."""
    return step.input("translator") if step.inputs.get("translator") else None


def learned_directions(step: Step, directions: Iterable[str]) -> list[str]:
    """Add to directions those that the translator, which the training begins with, learned before."""
    start = start_of(step)
    before = [] if start is None else checkpoint.read_config(start, "unit_transformer")["info"]["directions"]
    return sorted({*before, *directions})


def begin(config: UnitTransformerConfig, start: str | None) -> UnitTransformer:
    """Make a new model, or one with the weights of that in the folder `start`, grown by the languages it lacks."""
    model = UnitTransformer(config)
    if start is not None:
        old, _ = checkpoint.load(start, "unit_transformer")
        assert isinstance(old, UnitTransformer)
        new = config.languages[len(old.config.languages) :]
        model.load_state_dict(grow(old, new).state_dict())
    return model


def rejects_of(lost: pa.Table, columns: tuple[str, str, str], most: int, step: Step) -> list[dict[str, Any]]:
    """Tell how many rows are lost since they have more than `most` tokens; gives them as rows of REJECTS.

    `columns` hold what a row is called, its utterance_id and its language.
    """
    if len(lost):
        tell(f"{step.name}: {len(lost)} rows are longer than model.max_positions, and left out")
    name, utterance_id, lang = columns
    return [
        {
            "utterance_id": row[utterance_id],
            "lang": row[lang],
            "split": row["split"],
            "reason": f"'{row[name]}' has more tokens than max_positions={most}",
        }
        for row in lost.select(list(dict.fromkeys([*columns, "split"]))).to_pylist()
    ]


@dataclass(frozen=True)
class Times:
    """How often a row comes in an epoch, by a column that says of which kind it is."""

    column: str
    by_kind: Mapping[str, float]

    def __call__(self, row: Mapping[str, Any]) -> float:
        """Look it up."""
        return self.by_kind[row[self.column]]


def balanced(config: UnitTrainingConfig, column: str, counts: Mapping[str, int]) -> Times | None:
    """Say how often rows come with the temperature of a training, by the `counts` of their kinds; None: all once."""
    return Times(column, repetitions(counts, config.temperature)) if config.temperature > 1 else None


def collate(rows: list[Mapping[str, Any]], random: np.random.Generator) -> dict[str, Tensor]:
    """Pad token ids: rows {source, target} -> source (B, S), source_lengths (B,), target (B, T + 1)."""
    source, source_lengths = pad([np.asarray(row["source"]) for row in rows], PAD)
    target, _ = pad([np.asarray(row["target"]) for row in rows], PAD)
    return {"source": source, "source_lengths": source_lengths, "target": target}


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    translator = begin(settings["model"], settings["start"])
    write_model = functools.partial(checkpoint.save, model=translator, info=settings["info"])
    langs = target_languages(settings["info"]["directions"])
    objective = TranslationObjective(translator, langs, settings["vocoders"])
    train(settings["loop"], settings["run"], objective, write_model)
