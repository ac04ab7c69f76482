"""Train a recogniser on true speech and its transcripts, to judge what translations say.

It hears only the training split, so the sentences that are judged are new to it.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data
import ray.train
import torch
from torch import Tensor, nn

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.recognizer import Recognizer, RecognizerConfig, alphabet_of
from s2st.schemas import MANIFEST
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.batches import Packing, packed, pad
from trainers.loop import LoopConfig, fit, train


@dataclass(frozen=True)
class TrainRecognizerConfig:
    lang: str  # that it hears
    model: RecognizerConfig = field(default_factory=RecognizerConfig)  # its letters come from the texts
    batch_seconds: float = 60.0  # of speech a batch, padding included
    passes: int = 1  # through the data in one epoch of Ray Data
    loop: LoopConfig = field(default_factory=LoopConfig)


class RecognizerObjective(nn.Module):
    """The recogniser with its loss, taking one batch."""

    def __init__(self, recognizer: Recognizer):
        super().__init__()
        self.recognizer = recognizer

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of a batch {features (B, T, M), lengths (B,), letters (B, L), num_letters (B,)}."""
        loss = self.recognizer.loss(batch["features"], batch["lengths"], batch["letters"], batch["num_letters"])
        return loss, {"loss": loss}


def run(config: TrainRecognizerConfig, step: Step) -> Counts:
    """Find the letters of the training texts, and train."""
    manifest = step.input("manifest")
    rows = datasets.read_table(manifest, MANIFEST, ["lang", "split", "text", "num_samples"]).to_pylist()
    chosen = [row for row in rows if row["lang"] == config.lang and row["split"] == "train"]
    if not chosen:
        known = ", ".join(sorted({row["lang"] for row in rows}))
        raise UserError(f"section '{step.name}': no training speech in '{config.lang}' (found: {known})")
    model = dataclasses.replace(config.model, alphabet=alphabet_of(row["text"] for row in chosen))
    data = training_data(config, manifest, Recognizer(model))
    fit(step, config.loop, train_worker, {"model": model, "info": {"lang": config.lang}}, {"train": data})
    hours = sum(row["num_samples"] for row in chosen) / audio.SAMPLE_RATE / 3600
    return Counts(len(chosen), len(chosen), 0, round(hours, 4))


def training_data(config: TrainRecognizerConfig, manifest: str, recognizer: Recognizer) -> ray.data.Dataset:
    """Make batches of log-mel features with the letters that were spoken."""

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        features, lengths = pad([recognizer.features(audio.decode(row["audio"]["bytes"])).numpy() for row in rows])
        letters, num_letters = pad([np.asarray(recognizer.encode(row["text"]), dtype=np.int64) for row in rows])
        return {"features": features, "lengths": lengths, "letters": letters, "num_letters": num_letters}

    def in_training(table: pa.Table) -> pa.Table:
        in_language = pa.compute.equal(table["lang"], config.lang)
        return table.filter(pa.compute.and_(in_language, pa.compute.equal(table["split"], "train")))

    rows = datasets.read(manifest, MANIFEST, ["lang", "split", "text", "num_samples", "audio"], shuffle_files=True)
    packing = Packing(int(config.batch_seconds * audio.SAMPLE_RATE), passes=config.passes)
    return packed(
        rows.map_batches(in_training, batch_format="pyarrow"),
        packing,
        lambda row: row["num_samples"],
        collate,
    )


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    recognizer = Recognizer(settings["model"])
    train(settings["loop"], settings["run"], RecognizerObjective(recognizer))
    if ray.train.get_context().get_world_rank() == 0:
        checkpoint.save(settings["run"].output, recognizer, settings["info"])


STAGE = Stage(TrainRecognizerConfig, run, reads={"manifest": Input(MANIFEST)})

if __name__ == "__main__":
    main("trainers.recognizer")
