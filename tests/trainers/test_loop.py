import json
import os
import signal

import numpy as np
import pytest
import ray.data
import ray.train
import torch
from torch import nn

from stages.stage import Step
from trainers import loop
from trainers.batches import Packing, packed
from trainers.loop import LoopConfig, learning_rate


class Line(nn.Module):
    """Learns y = 3 x."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Linear(1, 1, bias=False)

    def forward(self, batch):
        loss = ((self.slope(batch["x"]) - 3 * batch["x"]) ** 2).mean()
        return loss, {"loss": loss}


def data():
    rows = [{"x": i / 64} for i in range(64)]

    def collate(rows, random):
        return {"x": torch.tensor([[row["x"]] for row in rows])}

    return packed(ray.data.from_items(rows), Packing(8, passes=4), lambda row: 1, collate)


def train_line(settings):
    """Train; where `settings` say so, the last worker is killed once, with SIGKILL, after some steps."""
    torch.manual_seed(0)
    model = Line()
    rank = ray.train.get_context().get_world_rank()
    if settings["kill"] and rank == ray.train.get_context().get_world_size() - 1:
        model.register_forward_pre_hook(Killer(settings["kill"]))
    loop.train(settings["loop"], settings["run"], model)
    if rank == 0:
        with open(f"{settings['run'].output}/slope.json", "w") as file:
            json.dump(model.slope.weight.item(), file)


class Killer:
    """Kills its process in the 15th step, if no marker file says that this was done before."""

    def __init__(self, marker):
        self.marker, self.steps = marker, 0

    def __call__(self, *_):
        self.steps += 1
        if self.steps == 15 and not os.path.exists(self.marker):
            open(self.marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)


def fit(tmp_path, monkeypatch, kill="", **settings):
    monkeypatch.setattr(loop, "fingerprint", lambda step: "x")
    step = Step("line", "trainers.line", str(tmp_path), {}, {})
    (tmp_path / "line").mkdir(exist_ok=True)
    config = LoopConfig(
        **{"max_steps": 40, "learning_rate": 0.2, "checkpoint_every": 10, "log_every": 5, "weight_decay": 0.0}
        | settings
    )
    loop.fit(step, config, train_line, {"kill": kill}, {"train": data()})
    history = [json.loads(line) for line in (tmp_path / "line" / "metrics.jsonl").read_text().splitlines()]
    return json.loads((tmp_path / "line" / "slope.json").read_text()), history


def test_in_process(local_ray, tmp_path, monkeypatch):
    slope, history = fit(tmp_path, monkeypatch, num_workers=0)
    assert slope == pytest.approx(3, abs=0.3)
    assert [line["step"] for line in history] == list(range(5, 41, 5))
    assert history[-1]["loss"] < history[0]["loss"] / 10


def test_in_process_goes_on_from_its_last_state(local_ray, tmp_path, monkeypatch):
    class Interrupted(Exception):
        pass

    forward, calls = Line.forward, []

    def interrupted(self, batch):
        calls.append(len(calls))
        if len(calls) == 25:
            raise Interrupted
        return forward(self, batch)

    monkeypatch.setattr(Line, "forward", interrupted)
    with pytest.raises(Interrupted):
        fit(tmp_path, monkeypatch, num_workers=0)
    slope, history = fit(tmp_path, monkeypatch, num_workers=0)
    assert len(calls) == 25 + 20  # from the state of step 20 to step 40, and nothing twice but steps 21 to 24
    assert [line["step"] for line in history] == list(range(5, 41, 5))
    assert slope == pytest.approx(3, abs=0.3)


def test_two_workers_survive_a_kill(local_ray, tmp_path, monkeypatch):
    marker = tmp_path / "killed"
    slope, history = fit(tmp_path, monkeypatch, kill=str(marker), num_workers=2, cpus_per_worker=0.5)
    assert marker.exists()
    assert slope == pytest.approx(3, abs=0.3)
    assert [line["step"] for line in history] == list(range(5, 41, 5))


def test_accumulated_batches_are_one_update(local_ray, tmp_path, monkeypatch):
    slope, _ = fit(tmp_path, monkeypatch, num_workers=0, accumulate=2, bf16=True)
    assert slope == pytest.approx(3, abs=0.3)


def test_learning_rates():
    linear = LoopConfig(max_steps=10, learning_rate=1.0, warmup_steps=2)
    assert [round(learning_rate(linear, step), 3) for step in (0, 1, 2, 6, 9)] == [0.5, 1.0, 1.0, 0.5, 0.125]
    inverse = LoopConfig(max_steps=10, learning_rate=1.0, warmup_steps=4, schedule="inverse_sqrt")
    assert [learning_rate(inverse, step) for step in (3, 15)] == [1.0, 0.5]
    constant = LoopConfig(max_steps=10, learning_rate=1.0, schedule="constant")
    np.testing.assert_array_equal([learning_rate(constant, step) for step in range(10)], 1.0)
