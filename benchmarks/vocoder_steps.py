"""The unit vocoder at work, ours and the reference in turn, in one process.

python -m benchmarks.vocoder_steps speak RUNS BATCH FRAMES [cuda]
python -m benchmarks.vocoder_steps stream RUNS FRAMES
python -m benchmarks.vocoder_steps train STEPS ROWS [cuda]
python -m benchmarks.vocoder_steps copy_rate cuda

Prints as JSON the seconds that each took, as often as asked after once to warm up: of the process's CPU time, or on a
GPU of the clock. Both sides have the same weights, and speak full units. fairseq's CodeHiFiGANVocoder takes one
sequence at a time. A training step has the segments of the reference, 28 units each.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from benchmarks.hifigan_reference import BETAS, MEL_WEIGHT, RATE, reference_step
from benchmarks.translation_steps import now
from s2st.audio import HOP
from s2st.fairseq.vocoder_writer import write_vocoder
from s2st.growing_speech import stream
from s2st.models.discriminators import DiscriminatorConfig, Discriminators
from s2st.models.losses import MelLoss, adversarial_loss, discriminator_loss, feature_matching_loss
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocoder import UnitVocoder
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.voice import Voice
from trainers.run import LoopConfig
from trainers.schedule import adamw

NUM_UNITS = 100
SEGMENT = 28  # units


def hifigan() -> UnitHifigan:
    """Draw weights; as made, the waveform would be too faint to compare."""
    torch.manual_seed(0)
    model = UnitHifigan(UnitHifiganConfig(num_units=NUM_UNITS)).eval()
    for upsample in model.upsamples:
        upsample.parametrizations.weight.original0.data.mul_(2)
    return model


def fairseq_vocoder(model: UnitHifigan) -> Any:
    """Give fairseq's vocoder with the same weights, which it folds when it loads them."""
    from fairseq.models.text_to_speech.vocoder import CodeHiFiGANVocoder

    with tempfile.TemporaryDirectory(prefix="s2st-benchmark-") as folder:
        write_vocoder(folder, model, ())
        with open(f"{folder}/config.json", encoding="utf-8") as file:
            return CodeHiFiGANVocoder(f"{folder}/g_00000000", json.load(file))


def sequences(batch: int, frames: int) -> list[np.ndarray]:
    """Draw full units: one sequence of so many frames, or several of a fifth of it to all of it."""
    random = np.random.default_rng(0)
    lengths = np.linspace(frames if batch == 1 else frames / 5, frames, batch).astype(int)
    return [random.integers(NUM_UNITS, size=length) for length in random.permutation(lengths)]


def in_turn(runs: int, device: str, sides: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Run all sides once to warm up, and then in turn: the seconds of each run."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(1 + runs):
        for side, call in sides.items():
            start = now(device)
            call()
            seconds[side].append(now(device) - start)
    return {side: found[1:] for side, found in seconds.items()}


def speak(runs: int, batch: int, frames: int, device: str = "cpu") -> dict[str, Any]:
    """Time both sides and our lighter model, and compare what both sides make of the same weights."""
    units, model = sequences(batch, frames), hifigan()
    theirs = fairseq_vocoder(model).to(device)
    ours = Voice(model.to(device), {})
    light = Voice(UnitVocos(UnitVocosConfig(num_units=NUM_UNITS)).eval().to(device), {})
    codes = [torch.from_numpy(row).unsqueeze(0).to(device) for row in units]

    @torch.no_grad()
    def fairseq() -> list[np.ndarray]:
        return [theirs({"code": code}).cpu().numpy() for code in codes]

    spoken = [waveform for waveform, _ in ours.speak(units, "", full=True)]
    pairs = list(zip(spoken, fairseq(), strict=True))
    difference = max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)
    sides = {
        "ours": lambda: ours.speak(units, "", full=True),
        "fairseq": fairseq,
        "vocos": lambda: light.speak(units, "", full=True),
    }
    seconds = in_turn(runs, device, sides)
    return {**seconds, "frames": sum(map(len, units)), "difference": difference, "bytes": traffic(model, codes)}


def traffic(model: UnitVocoder, codes: list[Tensor]) -> int:
    """Count the bytes that convolutions read and write for a batch, padding left out, and its weights once."""
    total, weights = 0, sum(parameter.nbytes for parameter in model.parameters())

    def count(module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += inputs[0].nbytes + output.nbytes

    layers = [module for module in model.modules() if isinstance(module, torch.nn.modules.conv._ConvNd)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with torch.no_grad():
        for code in codes:
            model(code)
    for hook in hooks:
        hook.remove()
    return total + weights


def first_chunks(runs: int, frames: int) -> dict[str, Any]:
    """Time the whole of an utterance and its first chunk, durations predicted, of both models."""
    units = (1 + np.random.default_rng(0).integers(NUM_UNITS - 1, size=frames)).cumsum() % NUM_UNITS
    sides: dict[str, Callable[[], object]] = {}
    for name, model in {"hifigan": hifigan(), "vocos": UnitVocos(UnitVocosConfig(num_units=NUM_UNITS)).eval()}.items():
        voice = Voice(model, {})
        sides[name] = lambda voice=voice: voice.speak([units], "")
        sides[f"{name}_first"] = lambda voice=voice: next(stream(voice, units, ""))
    return in_turn(runs, "cpu", sides)


def our_step(model: UnitHifigan, units: Tensor, real: Tensor) -> Callable[[], None]:
    """Make a step as the vocoder's trainer takes it, without its durations, on full units (B, T) of speech (B, N)."""
    discriminators, mel_loss = Discriminators(DiscriminatorConfig()).to(real.device), MelLoss().to(real.device)
    loop = LoopConfig(learning_rate=RATE, betas=BETAS)
    optimizers = [adamw(side, loop) for side in (model, discriminators)]

    def step() -> None:
        fake = model(units)
        scores, _ = discriminators(torch.cat([real, fake.detach()]))
        halves = [score.chunk(2) for score in scores]
        discriminator_loss([true for true, _ in halves], [made for _, made in halves]).backward()
        clip_grad_norm_(discriminators.parameters(), torch.inf)  # the trainer logs the norms
        optimizers[1].step()
        optimizers[1].zero_grad()
        discriminators.requires_grad_(False)
        with torch.no_grad():
            _, true_features = discriminators(real)
        scores, features = discriminators(fake)
        loss = adversarial_loss(scores) + feature_matching_loss(true_features, features)
        (loss + MEL_WEIGHT * mel_loss(fake, real)).backward()
        discriminators.requires_grad_(True)
        clip_grad_norm_(model.parameters(), torch.inf)
        optimizers[0].step()
        optimizers[0].zero_grad()

    return step


def train(steps: int, rows: int, device: str = "cpu") -> dict[str, Any]:
    """Time training steps of both sides."""
    from fairseq.models.text_to_speech.codehifigan import CodeGenerator

    from s2st.fairseq.vocoder_writer import vocoder_settings

    model = hifigan().train().to(device)
    theirs = CodeGenerator(vocoder_settings(model.config, ())).train().to(device)
    units = torch.randint(NUM_UNITS, (rows, SEGMENT), device=device)
    real = 0.1 * torch.randn(rows, SEGMENT * HOP, device=device)
    return in_turn(
        steps, device, {"ours": our_step(model, units, real), "reference": reference_step(theirs, units, real)}
    )


def copy_rate(size: int = 2**30, copies: int = 20) -> dict[str, float]:
    """Measure how many bytes a second a GPU reads and writes when it copies."""
    source = torch.empty(size, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source).copy_(source)
    start = now("cuda")
    for _ in range(copies):
        target.copy_(source)
    return {"bytes": 2 * size * copies / (now("cuda") - start)}


PARTS: dict[str, Callable[..., dict[str, Any]]] = {"speak": speak, "stream": first_chunks, "train": train}


def main(part: str, *sizes: str) -> None:
    """Measure a part."""
    if part == copy_rate.__name__:
        print(json.dumps(copy_rate()))
        return
    device = sizes[-1:] if sizes[-1] == "cuda" else ()
    print(json.dumps(PARTS[part](*map(int, sizes[: len(sizes) - len(device)]), *device)))


if __name__ == "__main__":
    main(*sys.argv[1:])
