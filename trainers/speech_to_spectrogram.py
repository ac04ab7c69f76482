"""Train a model that translates speech to a spectrogram: S2SPECT (Lee et al. 2021) or the mel LSTM.

The target is the recording of the translation as the log-mel spectrogram of fairseq's speech synthesis, as it is.
"""

import functools
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from s2st import audio, checkpoint, griffin_lim
from s2st.config import UserError
from s2st.evaluation.mcd import mel_cepstral_distortion
from s2st.features.filterbank import num_samples_of
from s2st.features.spec_augment import POLICIES
from s2st.features.speech_mel import MEL_HOP, MEL_RATE, NUM_MELS, speech_log_mel, to_mel_rate
from s2st.models.mel_lstm import MelLstm, MelLstmConfig
from s2st.models.s2spect import S2Spect, S2SpectConfig
from s2st.models.spectrogram_decoding import SpectrogramConfig, SpectrogramModel, pack
from s2st.models.spectrogram_loss import spectrogram_loss
from s2st.schemas import SPEECH_PAIRS
from s2st.spectrogram_translator import say
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.batches import Examples, pad
from trainers.generation import collapse
from trainers.loop import train
from trainers.objective import Objective, check_best_metric
from trainers.run import LoopConfig, fit
from trainers.speech_pairs import Limits, directions_of, filterbanks, fitting_pairs, pair_examples

ROWS = [name for name in SPEECH_PAIRS.names if not name.endswith("_audio")]
SPOKEN = 8  # of a validation's first batch: so many translations are spoken


@dataclass(frozen=True)
class SpeechToSpectrogramConfig:
    # One of these two.
    s2spect: S2SpectConfig | None = None
    lstm: MelLstmConfig | None = None
    guided_sigma: float = 0.0  # above 0, attention is drawn to a diagonal of about this width; fairseq offers 0.4
    spec_augment: Literal["none", "lb", "ld", "sm", "ss"] = "lb"  # how much of the source is hidden in training
    max_tokens: int = 80_000  # frames (10 ms) of sources a batch, padding included
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if self.guided_sigma < 0:
            raise ValueError(f"guided_sigma={self.guided_sigma} must be 0, which guides nothing, or more")
        if (self.s2spect is None) == (self.lstm is None):
            raise ValueError("give either s2spect or lstm, for example s2spect: {}")

    @property
    def model(self) -> SpectrogramConfig:
        chosen = self.s2spect or self.lstm
        assert chosen is not None
        return chosen


class SpectrogramObjective(Objective):
    """A model that speaks spectrograms with its loss, taking one batch."""

    metrics: ClassVar[Mapping[str, Literal["min", "max"]]] = MappingProxyType({"loss": "min", "mcd": "min"})

    def __init__(self, model: SpectrogramModel, guided_sigma: float):
        super().__init__()
        self.model, self.guided_sigma = model, guided_sigma

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give the loss of {features (B, N, 80 or 240), lengths (B,), target (B, T, F), target_lengths (B,)}."""
        target, lengths = batch["target"], batch["target_lengths"]
        prediction = self.model(batch["features"], batch["lengths"], target, lengths)
        loss, terms = spectrogram_loss(prediction, target, lengths, self.guided_sigma)
        return loss, {"loss": loss, **terms}

    def validation(self, batch: dict[str, Tensor], number: int) -> dict[str, Tensor | float]:
        """Give the loss and, of the first batch, what `spoken_metrics` measures of some translations."""
        _, metrics = self(batch)
        if number:
            return metrics
        found = say(self.model, batch["features"][:SPOKEN], batch["lengths"][:SPOKEN])
        rows = zip(batch["target"], batch["target_lengths"].tolist(), strict=True)
        references = [row[:length].reshape(-1, NUM_MELS) for row, length in rows][:SPOKEN]
        ended = sum(each.finished for each in found) / len(found)
        return metrics | {"ended": ended} | spoken_metrics(references, [each.log_mel for each in found])

    def validation_concern(self, metrics: Mapping[str, float]) -> str | None:
        """Say so if translations of different sources hardly differ."""
        return collapse(metrics)


def spoken_metrics(references: list[Tensor], translations: list[Tensor]) -> dict[str, float]:
    """Measure translations of different sources, log-mel spectrograms (T, 80), all spoken by Griffin-Lim.

    "mcd" is their mean mel cepstral distortion, and "diversity" how far each is from the next one, compared to how far
    the references are.
    """
    with torch.autocast("cpu", enabled=False):
        true, found = ([griffin_lim.speak(log_mel) for log_mel in each] for each in (references, translations))
        apart = [
            sum(mel_cepstral_distortion(*pair, MEL_RATE) for pair in itertools.pairwise(voices))
            for voices in (found, true)
        ]
        distortions = [mel_cepstral_distortion(*pair, MEL_RATE) for pair in zip(true, found, strict=True)]
    metrics = {"mcd": sum(distortions) / len(distortions)}
    return metrics | ({"diversity": apart[0] / apart[1]} if apart[1] else {})


def check(config: SpeechToSpectrogramConfig, step: Step) -> None:
    """Raise UserError if best_metric is not measured, or for the LSTM in fp16 on a CPU, where PyTorch has none."""
    check_best_metric(step, config.loop, SpectrogramObjective)
    if config.lstm and config.loop.fp16 and not config.loop.use_gpu:
        raise UserError(
            f"section '{step.name}': an lstm cannot train in fp16 on a CPU; set loop.use_gpu, or fp16 false"
        )


def run(config: SpeechToSpectrogramConfig, step: Step) -> Counts:
    """Find the pairs that fit, and train."""
    limits = limits_of(config.model)
    pairs, counts = fitting_pairs(ROWS, limits, step)
    directions = directions_of(pairs)
    check_directions(directions, step)
    training, validation = (examples_of(config, limits, step, split) for split in ("train", "validation"))
    settings = {"config": config, "info": {"directions": directions}}
    fit(step, config.loop, train_worker, settings, training, validation)
    return counts


def limits_of(config: SpectrogramConfig) -> Limits:
    """What the model can take of pairs; a target has at least one step."""

    def samples(num_mel_frames: int) -> int:
        return (num_mel_frames - 1) * MEL_HOP * audio.SAMPLE_RATE // MEL_RATE

    most = {
        "source_samples": num_samples_of(config.max_source_frames),
        "target_samples": samples(config.max_steps * config.frames_per_step),
    }
    if isinstance(config, S2SpectConfig):
        settings = {"source_samples": "s2spect.source.max_frames", "target_samples": "s2spect.decoder.max_steps"}
    else:
        settings = {"source_samples": "lstm.max_source_frames", "target_samples": "lstm.max_steps"}
    return Limits(most, settings, max(audio.WINDOW, samples(config.frames_per_step) + 1))


def check_directions(directions: list[str], step: Step) -> None:
    """Raise UserError if a source language has two target languages: the model is not told which is meant."""
    sources = [direction.partition("-")[0] for direction in directions]
    for lang in sources:
        if sources.count(lang) > 1:
            raise UserError(
                f"section '{step.name}': '{lang}' is translated to {sources.count(lang)} languages, but a model that "
                "speaks spectrograms knows one; make pairs of one direction"
            )


def examples_of(config: SpeechToSpectrogramConfig, limits: Limits, step: Step, split: str) -> Examples | None:
    """Open a split as batches; sources are hidden in part in the training split alone."""
    masks = POLICIES.get(config.spec_augment) if split == "train" else None

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        return filterbanks(rows, config.model.deltas, masks, random) | targets_of(rows, config.model.frames_per_step)

    return pair_examples(
        step.input("speech_pairs"), split, ("target_audio", "target_samples"), config.max_tokens, limits, collate
    )


def targets_of(rows: list[dict[str, Any]], frames_per_step: int) -> dict[str, Tensor]:
    """Give {target (B, T, F), target_lengths (B,)} of some pairs."""
    log_mels = [speech_log_mel(to_mel_rate(audio.decode(row["target_audio"]))) for row in rows]
    target, lengths = pad([pack(log_mel, frames_per_step).numpy() for log_mel in log_mels])
    return {"target": target, "target_lengths": lengths}


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker; the first writes the model."""
    config: SpeechToSpectrogramConfig = settings["config"]
    torch.manual_seed(config.loop.seed)  # the same weights on all workers
    model = MelLstm(config.lstm) if config.s2spect is None else S2Spect(config.s2spect)
    write_model = functools.partial(checkpoint.save, model=model, info=settings["info"])
    train(settings["loop"], settings["run"], SpectrogramObjective(model, config.guided_sigma), write_model)


STAGE = Stage(SpeechToSpectrogramConfig, run, reads={"speech_pairs": Input(SPEECH_PAIRS)}, check=check, resumes=True)

if __name__ == "__main__":
    main("trainers.speech_to_spectrogram")
