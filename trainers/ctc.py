"""Fine-tune HuBERT by CTC, as fairseq's base_10h: to letters of transcripts, or to units.

With units it trains the speech normaliser of textless translation on real data (Lee et al. 2022): the target is what
one speaker of a language said, the input the same sentence from anybody, so that voices and accents leave the units.
"""

import collections
import dataclasses
import functools
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.ctc_decoding import best_path
from s2st.evaluation.scores import symbol_error_rate
from s2st.models.hubert_ctc import NUM_SPECIALS, HubertCtc, HubertCtcConfig, ctc_loss, of_symbols
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import units_info
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.ctc_targets import ROWS, TARGETS, Targets, fitting, letters, reference_units
from trainers.examples import Examples, JoinUnits, Packing, examples, pad
from trainers.loop import train
from trainers.objective import Objective, check_best_metric
from trainers.pretrained_encoder import ENCODERS, read_encoder_config
from trainers.run import LoopConfig, fit

SPOKEN = ("utterance_id", "sentence_id", "lang", "speaker", "units")  # of UNITS, that targets are made of
NAMED = 10  # speakers, in a message


@dataclass(frozen=True)
class TrainCtcConfig:
    """As made: base_10h, except for its loop."""

    languages: tuple[str, ...] = ()  # whose letters are learned; all of the manifest if empty
    reference_speakers: dict[str, str] = field(default_factory=dict)  # whose units are learned, for each language
    model: HubertCtcConfig = field(default_factory=HubertCtcConfig)  # symbols and encoder come from the inputs
    dropout: float = 0.0  # these five replace the encoder's own
    attention_dropout: float = 0.0
    activation_dropout: float = 0.1
    layer_drop: float = 0.1
    feature_grad_mult: float = 0.0  # 0 leaves the convolutions as they are
    freeze_updates: int = 10_000  # in the first ones only the output learns
    batch_seconds: float = 200.0  # of speech a batch, padding included; longer recordings are left out
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.model != dataclasses.replace(self.model, symbols=(), encoder=EncoderConfig()):
            raise ValueError("model.symbols and model.encoder come from the labels and the encoder; remove them")


class CtcObjective(Objective):
    """HubertCtc with its loss, taking one batch; the encoder learns after `freeze_updates`."""

    skips_layers = True  # at random, all of them while frozen, and convolutions that never learn
    metrics = MappingProxyType({"loss": "min", "symbol_error_rate": "min"})

    def __init__(self, model: HubertCtc, freeze_updates: int):
        super().__init__()
        self.model, self.freeze_updates = model, freeze_updates
        self.frozen = freeze_updates > 0

    def begin_update(self, step: int) -> None:
        """Hear of the update `step`, counted from 0, before its first batch."""
        self.frozen = step < self.freeze_updates

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of a batch {waveform (B, N) int16, lengths (B,), labels (B, L), label_lengths (B,)}."""
        labels, label_lengths = batch["labels"], batch["label_lengths"]
        loss = self.model.loss(waveform_of(batch), batch["lengths"], labels, label_lengths, self.frozen)
        return loss, {"loss": loss, "loss_per_symbol": loss.detach() * len(labels) / label_lengths.sum()}

    def validation(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | float]:
        """Give the loss and the error rate of the best path's symbols, in eval mode."""
        log_probs, frame_lengths = self.model.log_probs(waveform_of(batch), batch["lengths"])
        labels, label_lengths = batch["labels"], batch["label_lengths"]
        loss = ctc_loss(log_probs, frame_lengths, labels, label_lengths)
        references = [row[:size] for row, size in zip(labels.tolist(), label_lengths.tolist(), strict=True)]
        return {
            "loss": loss,
            "symbol_error_rate": symbol_error_rate(references, hear(log_probs, frame_lengths)),
        }


def waveform_of(batch: dict[str, Tensor]) -> Tensor:
    """Scale the samples (B, N) of a batch, int16, to [-1, 1]."""
    return batch["waveform"].float() / 32768


def hear(log_probs: Tensor, frame_lengths: Tensor) -> list[list[int]]:
    """Labels of the best path of each row: log_probs (B, T, V), frame_lengths (B,)."""
    symbols = of_symbols(log_probs).detach().cpu().numpy()
    rows = zip(symbols, frame_lengths.tolist(), strict=True)
    return [(best_path(row[:frames]) + NUM_SPECIALS).tolist() for row, frames in rows]


def check(config: TrainCtcConfig, step: Step) -> None:
    """Raise UserError if inputs and settings do not say together what is to be heard."""
    check_best_metric(step, config.loop, CtcObjective)
    given = [name for name in ("labels", "codebook") if step.inputs.get(name)]
    given += ["reference_speakers"] * bool(config.reference_speakers)
    if given and len(given) < 3:
        raise UserError(
            f"section '{step.name}' learns units with labels, codebook and reference_speakers, and letters without "
            f"them; it has only {' and '.join(given)}"
        )
    if given and config.languages:
        raise UserError(f"section '{step.name}': reference_speakers name the languages; remove the setting languages")


def run(config: TrainCtcConfig, step: Step) -> Counts:
    """Find what is to be heard in each recording, and train."""
    targets, info = find_targets(config, step)
    pretrained = read_encoder_config(step.input("encoder"), *ENCODERS)
    changes = ("dropout", "attention_dropout", "activation_dropout", "layer_drop", "feature_grad_mult")
    encoder = dataclasses.replace(pretrained, **{name: getattr(config, name) for name in changes})
    targets = fitting(targets, encoder.receptive_field, encoder.hop, int(config.batch_seconds * audio.SAMPLE_RATE))
    datasets.set_aside(targets.rejects, step.output)
    check_training(step, targets)
    data = {split: examples_of(config, step, targets, split) for split in ("train", "validation")}
    settings = {
        "model": dataclasses.replace(config.model, symbols=targets.symbols, encoder=encoder),
        "encoder": step.input("encoder"),
        "freeze_updates": config.freeze_updates,
        "info": info,
    }
    fit(step, config.loop, train_worker, settings, data["train"], data["validation"])
    hours = sum(row["num_samples"] for row in targets.rows) / audio.SAMPLE_RATE / 3600
    rows_in = len(targets.rows) + len(targets.rejects)
    return Counts(rows_in, len(targets.rows), len(targets.rejects), round(hours, 4))


def find_targets(config: TrainCtcConfig, step: Step) -> tuple[Targets, dict[str, Any]]:
    """Make the labels of the training and validation splits, and what is to be known of the model."""
    rows = datasets.read_table(step.input("manifest"), MANIFEST, ROWS).to_pylist()
    known = {row["lang"] for row in rows}
    languages = sorted(config.reference_speakers or config.languages or known)
    if missing := [lang for lang in languages if lang not in known]:
        raise UserError(f"section '{step.name}': no speech in '{missing[0]}' (found: {', '.join(sorted(known))})")
    chosen = [row for row in rows if row["lang"] in languages and row["split"] in ("train", "validation")]
    if not config.reference_speakers:
        return letters(chosen), {"labels": "letters", "languages": languages}
    name, num_units = units_info(step.input("codebook"))
    spoken = datasets.read_table(step.input("labels"), UNITS, [*SPOKEN, "codebook"])
    if pc.unique(spoken["codebook"]).to_pylist() != [name]:
        raise UserError(f"section '{step.name}': the labels are not units of {step.input('codebook')}")
    references = said_by(config.reference_speakers, spoken.select(SPOKEN), step)
    targets = reference_units(chosen, references, config.reference_speakers, num_units)
    info = {"labels": "units", "codebook": name, "reference_speakers": config.reference_speakers}
    return targets, {**info, "languages": languages}


def said_by(speakers: dict[str, str], spoken: pa.Table, step: Step) -> list[dict[str, Any]]:
    """Choose the rows of a speaker of each language; raises UserError for one of whom there are no units."""
    rows: list[dict[str, Any]] = []
    for lang, speaker in sorted(speakers.items()):
        alike = spoken.filter(pc.equal(spoken["lang"], lang))
        found = alike.filter(pc.equal(alike["speaker"], speaker)).to_pylist()
        if not found:
            known = collections.Counter(alike["speaker"].to_pylist()).most_common(NAMED)
            raise UserError(
                f"section '{step.name}': reference_speakers names '{speaker}' for '{lang}', of whom "
                f"{step.input('labels')} has no units; who said most there: {', '.join(name for name, _ in known)}"
            )
        rows += found
    return rows


def check_training(step: Step, targets: Targets) -> None:
    """Raise UserError, with the usual reason, if every recording of the training split was rejected."""
    reasons = collections.Counter(row["reason"] for row in targets.rejects if row["split"] == "train")
    if reasons and not any(row["split"] == "train" for row in targets.rows):
        raise UserError(
            f"section '{step.name}': all {reasons.total()} recordings of the training split were left out, "
            f"the usual reason: {reasons.most_common(1)[0][0]}"
        )


def examples_of(config: TrainCtcConfig, step: Step, targets: Targets, split: str) -> Examples | None:
    """Open a split as batches of waveforms with their labels; None if it has none."""
    rows = [row for row in targets.rows if row["split"] == split]
    if not rows:
        return None

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        waveform, lengths = pad([audio.to_int16(audio.decode(row["audio"]["bytes"])) for row in rows])
        labels, label_lengths = pad([np.asarray(row["units"], dtype=np.int64) for row in rows])
        return {"waveform": waveform, "lengths": lengths, "labels": labels, "label_lengths": label_lengths}

    return examples(
        step.input("manifest"),
        MANIFEST,
        ["utterance_id", "num_samples", "audio"],
        {"split": split},
        Packing(int(config.batch_seconds * audio.SAMPLE_RATE)),
        lambda row: row["num_samples"],
        collate,
        JoinUnits(pa.Table.from_pylist(rows, TARGETS)),
    )


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    model = HubertCtc(settings["model"])
    pretrained, _ = checkpoint.load(settings["encoder"], *ENCODERS)
    assert isinstance(pretrained, SpeechEncoder)
    model.start_from(pretrained)
    write_model = functools.partial(checkpoint.save, model=model, info=settings["info"])
    train(settings["loop"], settings["run"], CtcObjective(model, settings["freeze_updates"]), write_model)


STAGE = Stage(
    TrainCtcConfig,
    run,
    reads={
        "manifest": Input(MANIFEST),
        "encoder": Input(),
        "labels": Input(UNITS, optional=True),
        "codebook": Input(optional=True),
    },
    check=check,
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.ctc")
