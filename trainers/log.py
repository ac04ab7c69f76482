"""What a training tells: lines in the terminal, a history in metrics.jsonl, and curves for TensorBoard."""

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import ray.train
import torch
from pyarrow import fs
from tensorboardX import SummaryWriter
from torch import Tensor

from s2st import audio, storage
from s2st.evaluation.mel_distance import log_mel
from stages.console import tell
from trainers.objective import Objective
from trainers.run import LoopConfig
from trainers.state import Progress

SMOOTHING = 0.98  # of the seconds of a step: each new one has a fiftieth of their average
UNTIMED = 3  # steps
# After the warm-up a model predicts few units because it has just begun: for a tenth of the updates, but no fewer than
# the first and no more than the second.
LEARNING_STEPS = (200, 2000)
DRAWN = (-11.5, 2.0)  # values of log-mel spectrograms: LogMel's least, and about what speech reaches


def settled_step(config: LoopConfig) -> int:
    """Give the update up to which nothing is of concern yet."""
    least, most = LEARNING_STEPS
    return config.warmup_steps + min(max(least, config.max_steps // 10), most)


class Log:
    """Averages metrics between lines; the first worker prints them and writes them for TensorBoard."""

    def __init__(
        self, name: str, progress: Progress, config: LoopConfig, curves: str, objective: Objective | None = None
    ) -> None:
        """`curves` is the folder for TensorBoard; the objective says what is wrong with a line, if anything is."""
        self.name, self.history, self.objective = name, progress.history, objective
        self.log_every, self.max_steps = config.log_every, config.max_steps
        self.settled = settled_step(config)
        self.concerned = False
        self.values: dict[str, list[Tensor | float]] = {}  # since the last line
        self.timed, self.last = 0, time.monotonic()
        self.seconds: float | None = None  # of a step, averaged
        self.batches = config.accumulate * ray.train.get_context().get_world_size()  # of an update
        self.speaks = ray.train.get_context().get_world_rank() == 0
        if self.speaks:
            if progress.step:
                tell(f"{name}: goes on at step {progress.step} of {config.max_steps}")
            self.curves = Curves(curves, progress.step)

    def add(self, step: int, metrics: Mapping[str, Tensor | float]) -> None:
        """Count in the metrics of the update `step`, counted from 1; `frames`, if among them, make a rate."""
        self._time()
        for key, value in metrics.items():
            self.values.setdefault(key, []).append(value.detach().float() if isinstance(value, Tensor) else value)
        if step % self.log_every == 0 or step == self.max_steps:
            self._line(step)

    def _time(self) -> None:
        """Count in the seconds of this step, but for the first ones: they wait for data and for compilers."""
        now = time.monotonic()
        seconds, self.last = now - self.last, now
        self.timed += 1
        if self.seconds is None or self.timed <= UNTIMED:
            self.seconds = seconds
        self.seconds = SMOOTHING * self.seconds + (1 - SMOOTHING) * seconds

    def _line(self, step: int) -> None:
        means = {key: float(sum(values)) / len(values) for key, values in self.values.items()}
        self.values = {}
        seconds = self.seconds or 0.0
        if "frames" in means:
            means["frames_per_second"] = means.pop("frames") * self.batches / seconds
        self.history.append({"step": step, **means, "milliseconds_per_step": 1000 * seconds})
        if self.speaks:
            shown = "  ".join(f"{key} {value:.3f}" for key, value in means.items())
            left = seconds * (self.max_steps - step)
            tell(
                f"{self.name}: step {step}/{self.max_steps}  {shown}  {1000 * seconds:.0f} ms a step, {left:.0f} s left"
            )
            if self.objective is not None:
                self._worry(step, self.objective.concern(means))
            self.curves.add(self.history[-1])

    def _worry(self, step: int, concern: str | None) -> None:
        """Say once in a training what is wrong with it."""
        if concern and step > self.settled and not self.concerned:
            self.concerned = True
            tell(f"{self.name}: step {step}: {concern}")

    def add_validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Put metrics of the validation split into the history, as validation_loss and so on."""
        named = {f"validation_{name}": value for name, value in metrics.items()}
        self.history.append({"step": step, **named})
        if self.speaks:
            tell(f"{self.name}: step {step}  " + "  ".join(f"{key} {value:.3f}" for key, value in named.items()))
            if self.objective is not None:
                self._worry(step, self.objective.validation_concern(metrics))
                self.curves.add_speech(step, self.objective.speech)
            self.curves.add(self.history[-1])

    def pause(self) -> None:
        """Keep the curves, and leave the time of a checkpoint out of the seconds of a step."""
        if self.speaks:
            self.curves.keep()
        self.last = time.monotonic()

    def write(self, folder: str) -> None:
        """Write the history as JSON lines, from the first worker."""
        if self.speaks:
            lines = "".join(json.dumps(line) + "\n" for line in self.history)
            storage.write_bytes(f"{folder}/metrics.jsonl", lines.encode())
            self.curves.close()


class Curves:
    """Event files for TensorBoard, in a folder or a bucket."""

    def __init__(self, address: str, step: int) -> None:
        """Lines after `step`, which a kill lost, are taken back."""
        self.address, (self.system, self.path) = address, storage.resolve(address)
        if step == 0:
            storage.delete_folder(address)
        self.local = isinstance(self.system, fs.LocalFileSystem)
        self.folder = self.path if self.local else tempfile.mkdtemp()
        self.heard: set[str] = set()  # true speech that was written
        self.writer = SummaryWriter(self.folder, purge_step=step + 1 if step else None)

    def add(self, line: Mapping[str, float]) -> None:
        """Write the metrics of a line."""
        for name, value in line.items():
            if name != "step":
                self.writer.add_scalar(name, value, line["step"])
        self.writer.flush()

    def add_speech(self, step: int, speech: Mapping[str, Tensor]) -> None:
        """Write waveforms (N,), float32 in [-1, 1], and pictures of their spectrograms."""
        for name, waveform in speech.items():
            if name.endswith("/true") and name in self.heard:
                continue  # it never changes
            self.heard.add(name)
            self.writer.add_audio(name, waveform.float().cpu().numpy(), step, audio.SAMPLE_RATE)
            self.writer.add_image(name, picture(waveform).numpy(), step, dataformats="HW")

    def keep(self) -> None:
        """Copy what was written to a bucket, if the curves are to be in one."""
        if not self.local:
            for file in Path(self.folder).iterdir():
                storage.write_bytes(f"{self.address}/{file.name}", file.read_bytes())

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()
        self.keep()


def picture(waveform: Tensor) -> Tensor:
    """Draw the log-mel spectrogram of a waveform (N,), low bands below: (80, T), from 0, silent, to 1."""
    silent, loud = DRAWN
    bands = torch.from_numpy(log_mel(waveform.float().cpu().numpy())).T.flip(0)
    return ((bands - silent) / (loud - silent)).clamp(0, 1)
