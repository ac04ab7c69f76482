import importlib.util

import pytest
import torch

from benchmarks import vocoder, vocoder_steps
from benchmarks.hifigan_reference import AllDiscriminators
from s2st.models.discriminators import DiscriminatorConfig, Discriminators

needs_fairseq = pytest.mark.skipif(importlib.util.find_spec("fairseq") is None, reason="fairseq is not installed")


@needs_fairseq
def test_both_sides_speak_the_same_and_give_rows(monkeypatch):
    """Short sequences, here instead of in processes; the training's seconds are made up."""

    def measure(folder, part, *sizes):
        if part == "train":
            return {"ours": [2.0, 2.0], "reference": [3.0, 3.0]}
        return vocoder_steps.PARTS[part](*sizes)

    monkeypatch.setattr(vocoder, "measure", measure)
    monkeypatch.setattr(vocoder, "BATCH", 2)
    rows = {row.name: row for row in vocoder.run(frames=10, runs=1)}
    assert rows["vocoder.difference_b1"].ours < 1e-4
    assert rows["vocoder.difference_b2"].ours < 1e-4
    assert rows["vocoder.rtf_b1"].ours > rows["vocoder.rtf_b1_vocos"].ours > 0
    assert rows["vocoder.rtf_b2"].peer > 0
    assert rows["vocoder.first_audio"].ours > 0
    assert (rows["vocoder.train_rate"].ours, rows["vocoder.train_rate"].ratio) == (30, 1.5)


def test_both_sides_have_the_same_discriminators():
    with torch.device("meta"):
        ours, theirs = Discriminators(DiscriminatorConfig()), AllDiscriminators()
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@needs_fairseq
def test_both_sides_take_a_step(monkeypatch):
    monkeypatch.setattr(vocoder_steps, "SEGMENT", 8)
    monkeypatch.setattr(vocoder_steps, "in_turn", lambda steps, device, sides: [step() for step in sides.values()])
    assert vocoder_steps.train(1, 1) == [None, None]
