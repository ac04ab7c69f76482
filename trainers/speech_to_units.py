"""Train S2UT: speech to the units of its translation, with auxiliary tasks beside it (Lee et al. 2021)."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from s2st import checkpoint
from s2st.config import UserError, build
from s2st.fairseq.auxiliary_heads import read_tasks
from s2st.fairseq.lines import check_local
from s2st.features.filterbank import num_samples_of
from s2st.features.spec_augment import POLICIES
from s2st.models.pretrained_source import PretrainedSource, PretrainedSourceConfig
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.pairing import target_languages
from s2st.schemas import SPEECH_PAIRS
from s2st.speech_to_units import units_info
from s2st.units import PAD
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers import generation
from trainers.batches import Examples, pad
from trainers.loop import train
from trainers.objective import check_best_metric
from trainers.pretrained_encoder import ENCODERS, FINE_TUNED, read_encoder_config, read_encoder_weights
from trainers.run import LoopConfig, fit
from trainers.s2ut_objective import TASK, SpeechToUnitsObjective
from trainers.speech_pairs import Limits, directions_of, filterbanks, fitting_pairs, pair_examples, waveforms
from trainers.task_targets import MAX_LETTERS, columns_of, labels_of, with_symbols

ROWS = [name for name in SPEECH_PAIRS.names if not name.endswith("_audio")]


@dataclass(frozen=True)
class SpeechToUnitsConfig:
    # its units, languages and the symbols of its tasks come from the data
    model: S2utConfig = field(default_factory=S2utConfig)
    config_multitask: str | None = None  # fairseq's file of auxiliary tasks, instead of model.tasks: a local file
    # How much of the source is hidden in training: as fairseq's policies say; lb, but nothing if an encoder is given.
    spec_augment: Literal["none", "lb", "ld", "sm", "ss"] | None = None
    max_tokens: int = 20_000  # frames (10 ms) of sources a batch, padding included
    freeze_updates: int = 0  # in the first ones an encoder that is given does not learn
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.model.languages or any(task.symbols for task in self.model.tasks.values()):
            raise ValueError("model.languages and the symbols of tasks come from the pairs; remove them")
        if self.config_multitask is not None:
            check_local(self.config_multitask, "config_multitask")
            if self.model.tasks:
                raise ValueError("config_multitask and model.tasks both name tasks; leave one of the two out")
        if self.model.pretrained and self.model.pretrained.encoder != EncoderConfig():
            raise ValueError("model.pretrained.encoder comes from the input encoder; remove it")


def check(config: SpeechToUnitsConfig, step: Step) -> None:
    """Raise UserError if the settings of a pretrained encoder stand without one, or best_metric is not measured.

    Also if what a pretrained encoder hears, which are waveforms, is to be hidden, and as `with_tasks`.
    """
    with_tasks(config)
    check_best_metric(step, config.loop, SpeechToUnitsObjective)
    generation.check_vocoders(step, config.loop.best_metric)
    if (config.model.pretrained or config.freeze_updates) and not step.inputs.get("encoder"):
        raise UserError(
            f"section '{step.name}': model.pretrained and freeze_updates are settings of a pretrained encoder; name "
            "one as the input encoder, or remove them"
        )
    if step.inputs.get("encoder") and config.spec_augment not in (None, "none"):
        raise UserError(
            f"section '{step.name}': spec_augment hides filterbanks, but its encoder hears waveforms; remove it"
        )


def check_inputs(config: SpeechToUnitsConfig, step: Step) -> None:
    """Raise UserError if the vocoders speak other units than those of the codebook."""
    generation.check_vocoder_units(step, units_info(step.input("codebook"))[0])


def run(config: SpeechToUnitsConfig, step: Step) -> Counts:
    """Find units, languages and symbols of tasks in the pairs, and train."""
    units_name, num_units = units_info(step.input("codebook"))
    model, pretrained = with_tasks(config), step.inputs.get("encoder") and step.input("encoder")
    if pretrained:
        encoder = read_encoder_config(pretrained, *ENCODERS, FINE_TUNED)
        source = dataclasses.replace(model.pretrained or PretrainedSourceConfig(), encoder=encoder)
        model = dataclasses.replace(model, pretrained=source)
    limits = limits_of(model)
    pairs, counts = fitting_pairs(ROWS, limits, step)
    if set(pairs["codebook"].to_pylist()) - {units_name}:
        raise UserError(f"section '{step.name}': the pairs are not of units of {step.input('codebook')}")
    generation.check_spoken(step, config.loop.best_metric, pc.unique(pairs["target_lang"]).to_pylist())
    model = fitted(model, pairs, num_units, f"section '{step.name}'")
    data = {split: examples_of(config, model, limits, step, split) for split in ("train", "validation")}
    settings = {
        "model": model,
        "encoder": pretrained,
        "freeze_updates": config.freeze_updates,
        "vocoders": step.input_list("vocoders"),
        "info": {"units": units_name, "directions": directions_of(pairs)},
    }
    fit(step, config.loop, train_worker, settings, data["train"], data["validation"])
    return counts


def with_tasks(config: SpeechToUnitsConfig) -> S2utConfig:
    """Give the model its tasks of `config_multitask`, told from the pairs but in the symbols of fairseq's dictionaries.

    Raises UserError for what is not there, or what models here cannot do.
    """
    if config.config_multitask is None:
        return config.model
    tasks = read_tasks(Path(config.config_multitask))
    return build(S2utConfig, {**vars(config.model), "tasks": tasks}, config.config_multitask)


def limits_of(config: S2utConfig) -> Limits:
    """What the model can take of pairs: lengths of sources, targets and texts."""
    most = {
        "source_samples": num_samples_of((config.pretrained or config.source).max_frames),
        "target_units": (config.max_steps - 1) * config.units_per_step,
    }
    frames = "model.pretrained.max_frames" if config.pretrained else "model.source.max_frames"
    settings = {"source_samples": frames, "target_units": "model.max_steps"}
    for column in columns_of(config.tasks):
        most[column] = min(most.get(column, MAX_LETTERS), MAX_LETTERS)
    return Limits(most, settings)


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
    policy = config.spec_augment or ("none" if model.pretrained else "lb")
    masks = POLICIES.get(policy) if split == "train" else None

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        source = waveforms(rows) if model.pretrained else filterbanks(rows, model.source.deltas, masks, random)
        return source | targets_of(model, rows)

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
    if settings["encoder"]:
        assert isinstance(model.source, PretrainedSource)
        model.source.encoder.load_state_dict(read_encoder_weights(settings["encoder"], *ENCODERS, FINE_TUNED))
    write_model = functools.partial(checkpoint.save, model=model, info=settings["info"])
    langs = target_languages(settings["info"]["directions"])
    objective = SpeechToUnitsObjective(model, langs, settings["freeze_updates"], settings["vocoders"])
    train(settings["loop"], settings["run"], objective, write_model)


STAGE = Stage(
    SpeechToUnitsConfig,
    run,
    reads={
        "speech_pairs": Input(SPEECH_PAIRS),
        "codebook": Input(),
        "encoder": Input(optional=True),
        "vocoders": Input(many=True, optional=True),
    },
    check=check,
    check_inputs=check_inputs,
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.speech_to_units")
