"""What S2UT's training minimises, and what its validation measures."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Literal

import torch
from torch import Tensor

from s2st.models.pretrained_source import PretrainedSource
from s2st.models.s2ut import S2ut
from s2st.speech_decoding import SPEECH_SEARCH, translate_speech
from s2st.units import NUM_SPECIALS
from trainers import generation
from trainers.objective import Objective

TASK = "task."  # before the name of a task, in a batch
GREEDY = dataclasses.replace(SPEECH_SEARCH, beam=1)


class SpeechToUnitsObjective(Objective):
    """S2ut with its loss, taking one batch."""

    weight = "tokens"
    metrics: ClassVar[Mapping[str, Literal["min", "max"]]] = MappingProxyType(
        {"loss": "min", "accuracy": "max", **generation.METRICS}
    )

    def __init__(self, model: S2ut, target_langs: Sequence[str], freeze_updates: int, vocoders: Sequence[str] = ()):
        """`target_langs` are those of the training, `vocoders` folders of what speaks its validation."""
        super().__init__()
        self.model, self.target_langs, self.freeze_updates, self.step = model, target_langs, freeze_updates, 0
        self.voices = generation.Voices(vocoders) if vocoders else None
        self.skips_layers = isinstance(model.source, PretrainedSource)  # at random, and all while frozen

    def begin_update(self, step: int) -> None:
        """Learn the number of the update, on which weights of tasks and the encoder's freezing may depend."""
        self.step = step
        if isinstance(self.model.source, PretrainedSource):
            self.model.source.frozen = step < self.freeze_updates

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss and metrics of a batch of features or waveforms (int16), and of `targets_of`."""
        tasks = {name.removeprefix(TASK): labels for name, labels in batch.items() if name.startswith(TASK)}
        loss, metrics = self.model.loss(*source_of(batch), batch["beginnings"], batch["labels"], tasks, self.step)
        return loss, {"loss": loss, **metrics}

    def validation(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | float]:
        """Give the loss and, of the first batch, how near greedy translations are to their references."""
        _, metrics = self(batch)
        if number:
            return metrics
        few = {name: values[: generation.SENTENCES] for name, values in batch.items()}
        langs = [self.model.config.language(symbol) or self.target_langs[0] for symbol in few["beginnings"].tolist()]
        found = translate_speech(self.model, *source_of(few), langs, GREEDY)
        references = [row[row >= NUM_SPECIALS].sub(NUM_SPECIALS).tolist() for row in few["labels"]]
        return metrics | generation.measure(langs, references, [best.units for best, *_ in found], self.voices)

    def validation_concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if translations of different sources hardly differ."""
        return generation.collapse(metrics)


def source_of(batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Give features and lengths of a batch; samples, int16, are scaled to [-1, 1]."""
    features = batch["features"]
    return (features / 32768 if features.dtype == torch.int16 else features), batch["lengths"]
