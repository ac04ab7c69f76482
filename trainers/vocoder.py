"""Train the unit vocoder: waveforms from units, adversarially or by spectral distances alone.

The losses are those of HiFi-GAN (Kong et al. 2020) and of its form for units (Polyak et al. 2021). Unlike the
reference trainer, segments are cut on the data workers and shuffled, and the duration predictor learns from whole
utterances, not from the runs that fit into a segment.
"""

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.discriminators import DiscriminatorConfig, Discriminators
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.precision import autocast
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import spoken_units_info
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step
from trainers.critic import Critic, Learner
from trainers.loop import synchronised
from trainers.loudness import Level, read_peaks, with_gains
from trainers.objective import check_best_metric
from trainers.run import LoopConfig, fit
from trainers.schedule import learning_rate
from trainers.state import Part
from trainers.vocoder_examples import SHORTEST_FRAMES, training_examples, validation_examples
from trainers.vocoder_objective import VocoderObjective
from trainers.voices import Voices
from trainers.worker import Worker


@dataclass(frozen=True)
class VocoderConfig:
    languages: tuple[str, ...] = ()  # that it speaks; none means all of the units
    # One of these two; their numbers of units and voices come from the data.
    hifigan: UnitHifiganConfig | None = None
    vocos: UnitVocosConfig | None = None  # lighter: speaks sooner when trained on a CPU
    discriminators: DiscriminatorConfig | None = None  # none trains by spectral distances alone
    segment_frames: int = 28  # units in a training segment; 28 are the reference's 8,960 samples
    batch_size: int = 16  # segments, of each worker; the reference has 16 of all together
    level: Level = "speaker"  # what gets one gain before it is learned from: see trainers.loudness
    mel_weight: float = 45.0
    stft_weight: float = 0.0  # multi-resolution STFT loss
    duration_weight: float = 1.0
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        if (self.hifigan is None) == (self.vocos is None):
            raise ValueError("give either hifigan or vocos, for example hifigan: {}")
        if self.loop.fp16 or self.loop.compile:
            raise ValueError("the vocoder's trainer has no fp16 and compile; leave them out of loop")
        if len(set(self.languages)) < len(self.languages):
            raise ValueError("languages must name each language once")
        chosen = self.hifigan or self.vocos
        if chosen and not chosen.predict_durations:
            raise ValueError(
                "predict_durations is for imported vocoders: those trained here learn durations; remove it"
            )
        if self.segment_frames < SHORTEST_FRAMES:
            shortest = f"use {SHORTEST_FRAMES} or more"
            raise ValueError(f"segment_frames={self.segment_frames} is too short for the spectral losses; {shortest}")

    @property
    def weights(self) -> dict[str, float]:
        """Weights of losses; the others have 1."""
        return {"mel": self.mel_weight, "stft": self.stft_weight, "duration": self.duration_weight}


def check(config: VocoderConfig, step: Step) -> None:
    """Raise UserError if best_metric is not measured."""
    check_best_metric(step, config.loop, VocoderObjective)


def run(config: VocoderConfig, step: Step) -> Counts:
    """Join speech with its units on the data workers, and train."""
    manifest, (units_name, num_units) = step.input("manifest"), spoken_units_info(step.input("codebook"), step.name)
    rows, languages = speech(config, step, units_name)
    peaks = read_peaks(manifest, rows["utterance_id"].combine_chunks(), f"{step.output}/peaks.parquet")
    rows = with_gains(rows, peaks, config.level)
    trained, judged = (rows.filter(pc.equal(rows["split"], split)) for split in ("train", "validation"))
    voices = Voices.of(trained, languages)
    model = dataclasses.replace(config.hifigan or config.vocos, num_units=num_units, **voices.model_settings())
    info = {"units": units_name, **voices.info()}
    settings = {"config": config, "model": model, "info": info, "codebook": step.input("codebook")}
    training = training_examples(manifest, trained, voices, config.segment_frames, config.batch_size)
    fit(step, config.loop, train_worker, settings, training, validation_examples(manifest, judged, voices))
    hours = sum(trained["num_samples"].to_pylist()) / audio.SAMPLE_RATE / 3600
    return Counts(len(trained), len(trained), 0, round(hours, 4))


def speech(config: VocoderConfig, step: Step, units_name: str) -> tuple[pa.Table, tuple[str, ...]]:
    """Read the rows of UNITS to train on and to be judged by, those with a recording, and the languages to speak.

    Raises UserError for units of another codebook, and where the training split has nothing, or not a language that is
    wanted.
    """
    used = pc.field("split").isin(["train", "validation"])
    rows = datasets.read_table(step.input("units"), UNITS, where=used)
    if set(rows["codebook"].to_pylist()) - {units_name}:
        raise UserError(f"section '{step.name}': the units are not of the codebook {step.input('codebook')}")
    recorded = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id"])["utterance_id"]
    rows = rows.filter(pc.is_in(rows["utterance_id"], recorded.combine_chunks()))
    rows = rows.filter(pc.greater(pc.list_value_length(rows["units"]), 0))
    known = sorted(set(rows.filter(pc.equal(rows["split"], "train"))["lang"].to_pylist()))
    if not known:
        raise UserError(f"section '{step.name}': its manifest and units have no training utterance in common")
    languages = config.languages or tuple(known)
    if missing := set(languages) - set(known):
        raise UserError(
            f"section '{step.name}': the units have no language '{missing.pop()}' (found: {', '.join(known)})"
        )
    return rows.filter(pc.is_in(rows["lang"], pa.array(languages, pa.string()))), languages


def train_worker(settings: dict[str, Any]) -> None:
    """Train on one worker."""
    config: VocoderConfig = settings["config"]
    worker = Worker(config.loop, settings["run"])
    torch.manual_seed(config.loop.seed)  # the same weights on all workers
    vocoder = (UnitVocos if config.hifigan is None else UnitHifigan)(settings["model"])
    vocoder.embed_by(checkpoint.load(settings["codebook"], "codebook")[0].centroids)  # type: ignore[arg-type]
    objective = VocoderObjective(vocoder, config.weights, config.discriminators)
    generator, critic = Learner(objective.to(worker.device), config.loop), None
    parts: dict[str, Part] = {"objective": objective, "optimizer": generator.optimizer}
    if config.discriminators is not None:
        critic = Critic(Discriminators(config.discriminators).to(worker.device), config.loop)
        parts |= {"discriminators": critic.module, "critic_optimizer": critic.optimizer}
    write_model = functools.partial(checkpoint.save, model=vocoder, info=settings["info"])
    with worker.begun(parts, objective):
        while not worker.done():
            metrics = update(config.loop, worker, generator, critic)
            if not torch.isfinite(metrics["gradient_norm"]):
                worker.fail()
                return
            worker.end_update(metrics, write_model)
        worker.finish(write_model)


def update(loop: LoopConfig, worker: Worker, generator: Learner, critic: Critic | None) -> dict[str, Tensor]:
    """Take a step of the critic, then one of the generator, as HiFi-GAN does; give the metrics of the last batch.

    Of several batches, the generator speaks each again for its own step: one at a time has its activations in memory.
    """
    taken = [worker.stream.take() for _ in range(loop.accumulate)]
    rate, once, metrics = learning_rate(loop, worker.progress.step), loop.accumulate == 1, {}

    def speak(micro_batch: int) -> tuple[Tensor, dict[str, Tensor]]:
        batch, names = taken[micro_batch]
        worker.begin_batch(micro_batch, names)
        with autocast(worker.device, loop.bf16):
            return generator.model(batch)

    if critic is not None:
        for micro_batch, (batch, _) in enumerate(taken):
            with torch.set_grad_enabled(once):
                fake, losses = speak(micro_batch)
            with synchronised(critic.model, micro_batch + 1 == loop.accumulate):
                loss = critic.loss(batch["segment_waveform"], fake, micro_batch)
                (loss / loop.accumulate).backward()
        metrics = {"critic": loss, "critic_gradient_norm": critic.step(rate)}
    for micro_batch, (batch, _) in enumerate(taken):
        with synchronised(generator.model, micro_batch + 1 == loop.accumulate):
            if critic is None or not once:
                fake, losses = speak(micro_batch)
            if critic is not None:
                losses |= critic.losses(batch["segment_waveform"], fake)
            loss = generator.module.total(losses)
            (loss / loop.accumulate).backward()
        worker.see(loss)
    return {"loss": loss, **losses, **metrics, "gradient_norm": generator.step(rate)}


STAGE = Stage(
    VocoderConfig,
    run,
    reads={"manifest": Input(MANIFEST), "units": Input(UNITS), "codebook": Input()},
    check=check,
    resumes=True,
)

if __name__ == "__main__":
    main("trainers.vocoder")
