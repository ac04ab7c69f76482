"""Pre-train HuBERT on units: predict the units of masked frames from the waveform around them."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.hubert import Hubert, HubertConfig
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import frames_per_second, units_info
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.examples import Examples, JoinUnits, Packing, examples, pad
from trainers.loop import train
from trainers.objective import Objective, check_best_metric
from trainers.run import LoopConfig, fit

LEAST_DEVIATION = 0.05  # of features, which a LayerNorm brings to about 1
LEAST_CODES = 0.05  # of the perplexity of the labels, that of the predictions
ADVICE = "lower loop.learning_rate, or try model.unmasked_weight=0.5 and model.pre_ln=true with smaller batches"


@dataclass(frozen=True)
class PretrainHubertConfig:
    model: HubertConfig = field(default_factory=HubertConfig)  # num_classes and label_rate come from the units
    batch_seconds: float = 87.5  # of speech a batch, padding included
    min_seconds: float = 0.5  # shorter utterances are not trained on
    max_seconds: float = 15.6  # longer ones are cut at random
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.max_seconds > self.batch_seconds:
            raise ValueError(f"max_seconds={self.max_seconds} must fit into batch_seconds={self.batch_seconds}")


class HubertObjective(Objective):
    """HuBERT with its own loss, taking one batch."""

    weight = "masked_frames"

    def __init__(self, hubert: Hubert):
        super().__init__()
        self.hubert = hubert
        self.skips_layers = hubert.config.layer_drop > 0 or hubert.config.feature_grad_mult == 0

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss and metrics of a batch {waveform (B, N) int16, lengths (B,), labels (B, L)}."""
        result = self.hubert(batch["waveform"].float() / 32768, batch["lengths"], batch["labels"])
        return result.loss, {"loss": result.loss, **result.metrics}

    def concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if all frames look alike, or are told the same few units."""
        deviation, predicted = metrics["feature_deviation"], metrics["code_perplexity"]
        if deviation < LEAST_DEVIATION:
            return f"it seems to collapse: features deviate by {deviation:.3f} from frame to frame; {ADVICE}"
        if predicted < LEAST_CODES * metrics["label_perplexity"]:
            labels = f"{metrics['label_perplexity']:.0f} units in use"
            return f"it seems to collapse: it predicts {predicted:.1f} of {labels} (perplexities); {ADVICE}"
        return None


def check(config: PretrainHubertConfig, step: Step) -> None:
    """Raise UserError for a metric that is not measured."""
    check_best_metric(step, config.loop, HubertObjective)


def run(config: PretrainHubertConfig, step: Step) -> Counts:
    """Join speech with its labels on the data workers, and train."""
    labels_name, num_classes = units_info(step.input("codebook"))
    labels = datasets.read_table(
        step.input("labels"), UNITS, ["utterance_id", "split", "units", "num_samples", "codebook"]
    )
    if set(labels["codebook"].to_pylist()) != {labels_name}:
        raise UserError(f"section '{step.name}': the labels are not units of {step.input('codebook')}")
    training = labels.filter(pa.compute.equal(labels["split"], "train"))
    kept = long_enough(training, config.min_seconds)
    if not len(kept):
        raise UserError(f"section '{step.name}': no training utterance is as long as min_seconds={config.min_seconds}")
    label_rate = frames_per_second(labels_name)
    model = dataclasses.replace(config.model, num_classes=num_classes, label_rate=label_rate)
    fit(
        step,
        config.loop,
        train_worker,
        {"model": model, "info": {"labels": labels_name}},
        *(examples_of(config, step.input("manifest"), labels, label_rate, split) for split in ("train", "validation")),
    )
    hours = sum(kept["num_samples"].to_pylist()) / audio.SAMPLE_RATE / 3600
    return Counts(len(training), len(kept), len(training) - len(kept), round(hours, 4))


def long_enough(labels: pa.Table, seconds: float) -> pa.Table:
    """Leave out utterances that are shorter."""
    return labels.filter(pa.compute.greater_equal(labels["num_samples"], int(seconds * audio.SAMPLE_RATE)))


def examples_of(
    config: PretrainHubertConfig, manifest: str, labels: pa.Table, label_rate: int, split: str
) -> Examples | None:
    """Open a split as batches of waveforms with their labels."""
    labels = long_enough(labels.filter(pa.compute.equal(labels["split"], split)), config.min_seconds)
    if not len(labels):
        return None
    most = int(config.max_seconds * audio.SAMPLE_RATE)

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        cuts = [
            crop(audio.decode(row["audio"]["bytes"]), np.asarray(row["units"]), label_rate, most, random)
            for row in rows
        ]
        # Recordings have 16 bits (FLAC), and travel with no more.
        waveform, lengths = pad([audio.to_int16(waveform) for waveform, _ in cuts])
        # -1 past the end: frames without a label are left out of the loss
        return {"waveform": waveform, "lengths": lengths, "labels": pad([units for _, units in cuts], -1)[0]}

    return examples(
        manifest,
        MANIFEST,
        ["utterance_id", "num_samples", "audio"],
        {"split": split},
        Packing(int(config.batch_seconds * audio.SAMPLE_RATE)),
        lambda row: min(row["num_samples"], most),
        collate,
        JoinUnits(labels),
    )


def crop(
    waveform: np.ndarray, labels: np.ndarray, label_rate: int, max_samples: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random stretch of at most max_samples, at a label's edge, and the labels that belong to it."""
    if len(waveform) <= max_samples:
        return waveform, labels
    hop = audio.SAMPLE_RATE // label_rate
    start = int(random.integers((len(waveform) - max_samples) // hop + 1))
    return waveform[start * hop : start * hop + max_samples], labels[start : start + max_samples // hop]


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    hubert = Hubert(settings["model"])
    write_model = functools.partial(checkpoint.save, model=hubert, info=settings["info"])
    train(settings["loop"], settings["run"], HubertObjective(hubert), write_model)


STAGE = Stage(
    PretrainHubertConfig,
    run,
    reads={"manifest": Input(MANIFEST), "labels": Input(UNITS), "codebook": Input()},
    check=check,
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.hubert")
