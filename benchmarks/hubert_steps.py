"""Steps of HuBERT pre-training, of one side a process: ours, fairseq's or torchaudio's.

python -m benchmarks.hubert_steps fairseq|torchaudio|ours|ours_bf16 STEPS ROWS SECONDS
python -m benchmarks.hubert_steps fairseq_loss|ours_loss FRAMES     the loss of that many masked frames alone

All take the base model with K=500, weights as each draws them, no layer left out at random, the same batch without
padding, Adam with decay 0.01, gradients clipped. Prints as JSON what each step took; the first warms up.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SAMPLE_RATE = 16_000
NUM_CLASSES = 500
FRAME_RATE = 50
WIDTH = 768
BETAS, EPS, DECAY, RATE, CLIP = (0.9, 0.98), 1e-6, 0.01, 5e-4, 10.0


def batch(rows: int, seconds: float) -> tuple[Tensor, Tensor]:
    """Draw noise (B, N) float32 in place of speech, and a label for each frame: what it is does not change the work."""
    torch.manual_seed(0)
    waveform = torch.randn(rows, int(seconds * SAMPLE_RATE)) * 0.1
    return waveform, torch.randint(NUM_CLASSES, (rows, int(seconds * FRAME_RATE)))


def fairseq_parts(folder: str) -> tuple[Any, nn.Module]:
    """Build fairseq's model and criterion as its task does."""
    from fairseq.criterions.hubert_criterion import HubertCriterion
    from fairseq.models.hubert.hubert import HubertConfig, HubertModel
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig, HubertPretrainingTask

    Path(folder, "dict.km.txt").write_text("".join(f"{label} 1\n" for label in range(NUM_CLASSES)))
    task = HubertPretrainingTask.setup_task(
        HubertPretrainingConfig(data=folder, label_dir=folder, labels=["km"], label_rate=FRAME_RATE)
    )
    config = HubertConfig(
        label_rate=FRAME_RATE,
        untie_final_proj=True,
        final_dim=256,
        dropout_input=0.1,
        dropout_features=0.1,
        feature_grad_mult=0.1,
        encoder_layerdrop=0.0,
        mask_prob=0.8,
    )
    return HubertModel.build_model(config, task), HubertCriterion(task, 1.0, 0.0, [10.0])


def fairseq(waveform: Tensor, labels: Tensor) -> Callable[[], object]:
    """fairseq's model, criterion and Adam; gradients over the masked frames, as its trainer divides them."""
    from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig

    with tempfile.TemporaryDirectory() as folder:
        model, criterion = fairseq_parts(folder)
    adam = FairseqAdamConfig(adam_betas=str(BETAS), adam_eps=EPS, weight_decay=DECAY, lr=[RATE])
    optimizer = FairseqAdam(adam, list(model.parameters()))
    sample = {
        "id": torch.arange(len(waveform)),
        "net_input": {"source": waveform, "padding_mask": torch.zeros_like(waveform, dtype=torch.bool)},
        "target_list": [labels + 4],  # as its dictionary numbers them
    }

    def step() -> None:
        loss, sample_size, _ = criterion(model, sample)
        optimizer.backward(loss)
        optimizer.multiply_grads(1 / sample_size)
        optimizer.clip_grad_norm(CLIP)
        optimizer.step()
        optimizer.zero_grad()

    return step


def torchaudio(waveform: Tensor, labels: Tensor) -> Callable[[], object]:
    """torchaudio's model with the loss and the optimizer of its recipe."""
    from torchaudio.models import hubert_pretrain_base

    model = hubert_pretrain_base(num_classes=NUM_CLASSES, encoder_layer_drop=0.0)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, BETAS, EPS, DECAY)
    labels = labels[:, : 1 + (waveform.shape[1] - 400) // 320]

    def step() -> None:
        masked, unmasked, penalty = model(waveform, labels)
        losses = [
            F.cross_entropy(x, x.new_zeros(len(x), dtype=torch.long), reduction="sum") for x in (masked, unmasked)
        ]
        loss = losses[0] + 0.0 * losses[1] + 10.0 * penalty * len(masked)
        loss.backward()
        for parameter in model.parameters():
            parameter.grad /= len(masked)
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()

    return step


def fairseq_loss(encoded: Tensor, labels: Tensor) -> Callable[[], object]:
    """fairseq's prediction of every label's cosine and its loss; frames (S, D) and labels (S,)."""
    with tempfile.TemporaryDirectory() as folder:
        model, _ = fairseq_parts(folder)

    def step() -> None:
        embeddings = model.label_embs_concat
        negatives = embeddings.unsqueeze(1).expand(-1, len(encoded), -1)
        logits = model.compute_nce(model.final_proj(encoded), embeddings[labels + 4], negatives)
        F.cross_entropy(logits, labels.new_zeros(len(labels))).backward()

    return step


def ours_loss(encoded: Tensor, labels: Tensor) -> Callable[[], object]:
    """Our logits of every label and their loss; frames (S, D) and labels (S,)."""
    from s2st.models.hubert import SPECIAL_SYMBOLS, Hubert, HubertConfig

    model = Hubert(HubertConfig(num_classes=NUM_CLASSES))

    def step() -> None:
        F.cross_entropy(model.logits(encoded), labels + SPECIAL_SYMBOLS).backward()

    return step


def ours(waveform: Tensor, labels: Tensor, bf16: bool = False) -> Callable[[], object]:
    """Our model as trainers.hubert trains it."""
    from s2st.models.hubert import Hubert, HubertConfig
    from s2st.precision import autocast
    from trainers.loop import LoopConfig, adamw

    model = Hubert(HubertConfig(layer_drop=0.0, num_classes=NUM_CLASSES))
    optimizer = adamw(model, LoopConfig(learning_rate=RATE, betas=BETAS, adam_eps=EPS, weight_decay=DECAY))
    lengths = torch.full((len(waveform),), waveform.shape[1])

    def step() -> None:
        with autocast(waveform.device, bf16):
            model(waveform, lengths, labels).loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()

    return step


def ours_bf16(waveform: Tensor, labels: Tensor) -> Callable[[], object]:
    """Our model in bfloat16 autocast."""
    return ours(waveform, labels, bf16=True)


SIDES = {side.__name__: side for side in (fairseq, torchaudio, ours, ours_bf16)}
LOSSES = {side.__name__: side for side in (fairseq_loss, ours_loss)}


def memory_mb(name: str) -> float:
    """Memory of this process: VmRSS is that of now, VmHWM the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def measure(steps: int, step: Callable[[], object]) -> None:
    """Make steps and print what they took."""
    before = memory_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # what came before the steps is no part of their peak
    cpu_seconds, seconds = [], []
    for _ in range(steps):
        cpu_start, start = time.process_time(), time.perf_counter()
        step()
        cpu_seconds.append(time.process_time() - cpu_start)
        seconds.append(time.perf_counter() - start)
    added = memory_mb("VmHWM") - before
    print(json.dumps({"cpu_seconds": cpu_seconds, "seconds": seconds, "added_mb": added}))


def main(side: str, *sizes: str) -> None:
    """Measure a side."""
    if side in LOSSES:
        torch.manual_seed(0)
        frames = int(sizes[0])
        encoded = torch.randn(frames, WIDTH).requires_grad_()
        measure(1, LOSSES[side](encoded, torch.randint(NUM_CLASSES, (frames,))))
    else:
        steps, rows, seconds = sizes
        measure(int(steps), SIDES[side](*batch(int(rows), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
