"""Train a recogniser on true speech and its transcripts, to judge what translations say.

It hears only the training split, so the sentences that are judged are new to it.
"""

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.recognizer import Recognizer, RecognizerConfig, alphabet_of
from s2st.schemas import MANIFEST
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.examples import Examples, Packing, examples, pad
from trainers.loop import train
from trainers.objective import Objective, refuse_validation
from trainers.run import LoopConfig, fit


@dataclass(frozen=True)
class TrainRecognizerConfig:
    lang: str  # that it hears
    model: RecognizerConfig = field(default_factory=RecognizerConfig)  # its letters come from the texts
    batch_seconds: float = 60.0  # of speech a batch, padding included
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        refuse_validation(self.loop)


class RecognizerObjective(Objective):
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
    settings = {"model": model, "info": {"lang": config.lang}}
    fit(step, config.loop, train_worker, settings, training_examples(config, manifest, Recognizer(model)))
    hours = sum(row["num_samples"] for row in chosen) / audio.SAMPLE_RATE / 3600
    return Counts(len(chosen), len(chosen), 0, round(hours, 4))


def training_examples(config: TrainRecognizerConfig, manifest: str, recognizer: Recognizer) -> Examples | None:
    """Open the training split as batches of log-mel features with the letters that were spoken."""

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        features, lengths = pad([recognizer.features(audio.decode(row["audio"]["bytes"])).numpy() for row in rows])
        letters, num_letters = pad([np.asarray(recognizer.encode(row["text"]), dtype=np.int64) for row in rows])
        return {"features": features, "lengths": lengths, "letters": letters, "num_letters": num_letters}

    return examples(
        manifest,
        MANIFEST,
        ["utterance_id", "text", "num_samples", "audio"],
        {"lang": config.lang, "split": "train"},
        Packing(int(config.batch_seconds * audio.SAMPLE_RATE)),
        lambda row: row["num_samples"],
        collate,
    )


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    torch.manual_seed(settings["loop"].seed)  # the same weights on all workers
    recognizer = Recognizer(settings["model"])
    write_model = functools.partial(checkpoint.save, model=recognizer, info=settings["info"])
    train(settings["loop"], settings["run"], RecognizerObjective(recognizer), write_model)


STAGE = Stage(TrainRecognizerConfig, run, reads={"manifest": Input(MANIFEST)}, resumes=True)

if __name__ == "__main__":
    main("trainers.recognizer")
