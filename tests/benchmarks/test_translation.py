import importlib.util

import pytest

from benchmarks import translation, translation_steps
from benchmarks.translation_steps import sentences


@pytest.mark.skipif(importlib.util.find_spec("fairseq") is None, reason="fairseq is not installed")
def test_both_sides_find_the_same_and_give_rows(monkeypatch):
    """A small model, here instead of in processes."""

    def measure(folder, side, part, *sizes):
        assert part in ("decode", "train")
        if part == "train":
            step = translation_steps.TRAINERS[f"{side}_{part}"](*sentences(*sizes[1:3]), sizes[3])
            step()
            return {"seconds": [9.0, 2.0 if side == "ours" else 4.0]}
        found = translation_steps.DECODERS[f"{side}_{part}"](*sentences(*sizes[:2]), sizes[2])()
        return {"seconds": 0.5 if side == "ours" else 2.0, "found": found}

    monkeypatch.setattr(translation, "measure", measure)
    rows = {row.name: row for row in translation.run(pairs=2, length=6, steps=1, runs=1, layers=1)}
    assert rows["translation.decode_equal"].ours == 1.0
    assert (rows["translation.decode_rate"].ours, rows["translation.decode_rate"].ratio) == (4.0, 4.0)
    assert (rows["translation.train_rate"].ours, rows["translation.train_rate"].ratio) == (6.0, 2.0)
