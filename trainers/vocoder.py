"""Train the unit vocoder: waveforms from units, adversarially or by spectral distances alone.

Unlike the reference trainer, segments are cut on the data workers and shuffled, and the duration predictor
learns from whole utterances, not from the runs that fit into a segment.
"""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import ray.train.torch
import torch
from torch import Tensor, nn

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.discriminators import DiscriminatorConfig, Discriminators
from s2st.models.losses import MelLoss, StftLoss, adversarial_loss, discriminator_loss, feature_matching_loss
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocoder import UnitVocoder
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.precision import autocast
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import spoken_units_info
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.batches import Examples, JoinUnits, Packing, examples, pad
from trainers.objective import refuse_validation
from trainers.run import LoopConfig, fit
from trainers.schedule import adamw, learning_rate, set_rate
from trainers.worker import Worker

PEAK = 0.95  # every utterance is scaled to it, as the reference does


@dataclass(frozen=True)
class VocoderConfig:
    languages: tuple[str, ...] = ()  # that it speaks; none means all of the units
    # One of these two; their numbers of units and voices come from the data.
    hifigan: UnitHifiganConfig | None = None
    vocos: UnitVocosConfig | None = None  # lighter: speaks sooner when trained on a CPU
    discriminators: DiscriminatorConfig | None = None  # none trains by spectral distances alone
    segment_frames: int = 28  # units in a training segment; 28 are the reference's 8,960 samples
    batch_size: int = 16  # segments
    mel_weight: float = 45.0
    stft_weight: float = 0.0  # multi-resolution STFT loss
    duration_weight: float = 1.0
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if (self.hifigan is None) == (self.vocos is None):
            raise ValueError("give either hifigan or vocos, for example hifigan: {}")
        if self.loop.accumulate != 1:
            raise ValueError("loop.accumulate must be 1: the vocoder's trainer takes a step for each batch")
        if self.loop.fp16 or self.loop.compile:
            raise ValueError("the vocoder's trainer has no fp16 and compile; leave them out of loop")
        refuse_validation(self.loop)
        if self.segment_frames < 8:
            raise ValueError(
                f"segment_frames={self.segment_frames} is too short for the spectral losses; use 8 or more"
            )


@dataclass(frozen=True)
class Voices:
    """Numbers of the speakers and languages that a vocoder knows."""

    speakers: tuple[str, ...]
    languages: tuple[str, ...]

    def model_settings(self) -> dict[str, int]:
        """Sizes of the embeddings; one voice or one language needs none."""
        return {"num_speakers": _several(self.speakers), "num_languages": _several(self.languages)}

    def tensors(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Give speaker (B,) and language (B,) of rows, where the model has embeddings for them."""
        tensors = {}
        if _several(self.speakers):
            tensors["speaker"] = torch.tensor([self.speakers.index(row["speaker"]) for row in rows])
        if _several(self.languages):
            tensors["language"] = torch.tensor([self.languages.index(row["lang"]) for row in rows])
        return tensors


def _several(names: Sequence[str]) -> int:
    return len(names) if len(names) > 1 else 0


class VocoderObjective(nn.Module):
    """Generator and duration predictor behind one forward, which DDP needs."""

    def __init__(self, vocoder: UnitVocoder):
        super().__init__()
        self.vocoder = vocoder

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Give the waveform (B, N) of the segments and the duration loss of the utterances."""
        waveform = self.vocoder(batch["segment_units"], batch.get("speaker"), batch.get("language"))
        return waveform, self.vocoder.duration_loss(batch["units"], batch["lengths"])


def run(config: VocoderConfig, step: Step) -> Counts:
    """Join speech with its units on the data workers, and train."""
    units_name, num_units = spoken_units_info(step.input("codebook"), step.name)
    table = datasets.read_table(step.input("units"), UNITS)
    table = table.filter(pa.compute.equal(table["split"], "train"))
    if set(table["codebook"].to_pylist()) != {units_name}:
        raise UserError(f"section '{step.name}': the units are not of the codebook {step.input('codebook')}")
    known = tuple(sorted(set(table["lang"].to_pylist())))
    languages = config.languages or known
    if missing := set(languages) - set(known):
        raise UserError(
            f"section '{step.name}': the units have no language '{missing.pop()}' (found: {', '.join(known)})"
        )
    table = table.filter(pa.compute.is_in(table["lang"], pa.array(languages)))
    voices = Voices(tuple(sorted(set(table["speaker"].to_pylist()))), tuple(languages))
    info = {
        "units": units_name,
        "speakers": list(voices.speakers),
        "languages": list(voices.languages),
        "default_speakers": default_speakers(table),
    }
    sizes = {"num_units": num_units, **voices.model_settings()}
    model = dataclasses.replace(config.hifigan or config.vocos, **sizes)
    settings = {"config": config, "model": model, "info": info}
    fit(step, config.loop, train_worker, settings, training_examples(config, step.input("manifest"), table, voices))
    hours = sum(table["num_samples"].to_pylist()) / audio.SAMPLE_RATE / 3600
    return Counts(len(table), len(table), 0, round(hours, 4))


def default_speakers(table: pa.Table) -> dict[str, str]:
    """Name for each language the speaker with most recordings."""
    counts: dict[str, dict[str, int]] = {}
    for lang, speaker in zip(table["lang"].to_pylist(), table["speaker"].to_pylist(), strict=True):
        counts.setdefault(lang, {}).setdefault(speaker, 0)
        counts[lang][speaker] += 1
    return {lang: max(sorted(speakers), key=lambda name: speakers[name]) for lang, speakers in counts.items()}


def training_examples(config: VocoderConfig, manifest: str, units: pa.Table, voices: Voices) -> Examples | None:
    """Open the training split as batches of aligned segments of waveform and units."""

    def collate(rows: list[dict], random: np.random.Generator) -> dict[str, Tensor]:
        sequences = [np.asarray(row["units"], dtype=np.int64) for row in rows]
        segments = [
            cut(row["audio"]["bytes"], s, config.segment_frames, random) for row, s in zip(rows, sequences, strict=True)
        ]
        padded, lengths = pad(sequences)
        return {
            "segment_units": torch.from_numpy(np.stack([units for units, _ in segments])),
            "segment_waveform": torch.from_numpy(np.stack([waveform for _, waveform in segments])),
            "units": padded,
            "lengths": lengths,
            **voices.tensors(rows),
        }

    return examples(
        manifest,
        MANIFEST,
        ["utterance_id", "lang", "speaker", "audio"],
        {"split": "train"},
        Packing(config.batch_size),
        lambda row: 1,
        collate,
        JoinUnits(units),
    )


def cut(data: bytes, units: np.ndarray, frames: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut the same random stretch of units (frames,) and waveform (frames * HOP,) from an utterance.

    A shorter utterance is repeated until it is long enough, as the reference does.
    """
    waveform = audio.decode(data)
    waveform = waveform / np.abs(waveform).max() * PEAK
    length = min(len(units), len(waveform) // audio.HOP)
    units, waveform = units[:length], waveform[: length * audio.HOP]
    repeats = -(-frames // length)
    units, waveform = np.tile(units, repeats), np.tile(waveform, repeats)
    start = int(random.integers(len(units) - frames + 1))
    return units[start : start + frames], waveform[start * audio.HOP : (start + frames) * audio.HOP].astype(np.float32)


class Critic:
    """The discriminators with their optimizer."""

    def __init__(self, config: DiscriminatorConfig, loop: LoopConfig, device: torch.device):
        self.discriminators = Discriminators(config).to(device)
        self.optimizer = adamw(self.discriminators, loop)
        self.model = ray.train.torch.prepare_model(self.discriminators)

    def learn(self, real: Tensor, fake: Tensor, rate: float) -> Tensor:
        """Take a step towards telling real from fake speech (B, N), and give the loss of before."""
        set_rate(self.optimizer, rate)
        scores, _ = self.model(torch.cat([real, fake.detach()]))
        loss = discriminator_loss(*_halves(scores))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def losses(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Give the generator's losses for what it made of real speech (B, N)."""
        scores, features = self.model(torch.cat([real, fake]))
        return {
            "adversarial": adversarial_loss(_halves(scores)[1]),
            "feature": feature_matching_loss(*_halves(features)),
        }


def _halves(tensors: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Part tensors of real and generated speech that went through the discriminators as one batch."""
    pairs = [tensor.chunk(2) for tensor in tensors]
    return [real for real, _ in pairs], [fake for _, fake in pairs]


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker: discriminators first, then the generator, as HiFi-GAN does."""
    config: VocoderConfig = settings["config"]
    loop, worker = config.loop, Worker(config.loop, settings["run"])
    torch.manual_seed(loop.seed)  # the same weights on all workers
    vocoder = (UnitVocos if config.hifigan is None else UnitHifigan)(settings["model"])
    objective = VocoderObjective(vocoder).to(worker.device)
    generator, optimizer = ray.train.torch.prepare_model(objective), adamw(objective, loop)
    parts: dict[str, Any] = {"objective": objective, "optimizer": optimizer}
    critic = Critic(config.discriminators, loop, worker.device) if config.discriminators else None
    if critic is not None:
        parts |= {"discriminators": critic.discriminators, "critic_optimizer": critic.optimizer}
    mel_loss, stft_loss = MelLoss().to(worker.device), StftLoss().to(worker.device)
    weights = {"mel": config.mel_weight, "duration": config.duration_weight, "stft": config.stft_weight}
    write_model = functools.partial(checkpoint.save, model=vocoder, info=settings["info"])
    with worker.begun(parts):
        while not worker.done():
            rate, batch = learning_rate(loop, worker.progress.step), worker.next_batch(0)
            real = batch["segment_waveform"]
            with autocast(worker.device, loop.bf16):
                fake, duration = generator(batch)
            fake = fake.float()
            losses = {"mel": mel_loss(fake, real), "duration": duration}
            if config.stft_weight:
                losses["stft"] = stft_loss(fake, real)
            critic_loss = {}
            if critic is not None:
                critic_loss = {"critic": critic.learn(real, fake, rate)}
                losses |= critic.losses(real, fake)
            loss = torch.stack([weights.get(name, 1.0) * value for name, value in losses.items()]).sum()
            worker.see(loss)
            set_rate(optimizer, rate)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(objective.parameters(), loop.clip_norm or torch.inf)
            if not torch.isfinite(norm):
                worker.fail()
                return
            optimizer.step()
            worker.end_update({"loss": loss, **losses, **critic_loss, "gradient_norm": norm}, write_model)
        worker.finish(write_model)


STAGE = Stage(
    VocoderConfig,
    run,
    reads={"manifest": Input(MANIFEST), "units": Input(UNITS), "codebook": Input()},
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.vocoder")
