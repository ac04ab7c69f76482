import functools
import json
import os
import signal
import time
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.train
import safetensors.torch
import torch
from torch import nn

from s2st import checkpoint, storage
from s2st.config import UserError
from stages.stage import TRAINING_COST, Step
from trainers import log, loop, run, worker
from trainers.examples import Packing, examples
from trainers.objective import Objective, check_best_metric
from trainers.run import LoopConfig
from trainers.state import Progress
from trainers.worker import Worker

SCHEMA = pa.schema([("name", pa.string()), ("x", pa.float64()), ("split", pa.string())])
SETTINGS = {"max_steps": 40, "learning_rate": 0.2, "checkpoint_every": 10, "log_every": 5, "weight_decay": 0.0}


class Line(Objective):
    """Learns y = 3 x from noisy batches; those with large x count more."""

    weight = "mass"

    def __init__(self):
        super().__init__()
        self.slope = nn.Linear(1, 1, bias=False)

    def forward(self, batch):
        noise = torch.randn_like(batch["x"]) * 0.01  # what is drawn must be the same after a kill
        loss = ((self.slope(batch["x"]) - 3 * batch["x"] + noise) ** 2).mean()
        return loss, {"loss": loss, "mass": batch["x"].sum()}


class Worsening(Line):
    def validation(self, batch, number):
        """Tell that the slope should have stopped at 1."""
        return {"loss": (self.slope.weight - 1).abs().mean()}


class Interrupted(Exception):
    pass


def collate(rows, random):
    return {"x": torch.tensor([[row["x"]] for row in rows])}


def split_of(folder, split):
    return examples(folder, SCHEMA, ["name", "x"], {"split": split}, Packing(8), lambda row: 1, collate)


def train_line(settings):
    """Train; where `settings` say so, the last worker is killed once, with SIGKILL, after some steps."""
    torch.manual_seed(0)
    model = settings["objective"]()
    context = ray.train.get_context()
    if settings["kill"] and context.get_world_rank() == context.get_world_size() - 1:
        model.register_forward_pre_hook(Killer(settings["kill"]))
    loop.train(settings["loop"], settings["run"], model, functools.partial(write, model=model))


def write(folder, model):
    Path(folder).mkdir(parents=True, exist_ok=True)
    safetensors.torch.save_file({"slope": model.slope.weight.detach()}, Path(folder, checkpoint.WEIGHTS))


class Killer:
    """Kills its process in the 15th step, if no marker file says that this was done before."""

    def __init__(self, marker):
        self.marker, self.steps = marker, 0

    def __call__(self, *_):
        self.steps += 1
        if self.steps == 15 and not os.path.exists(self.marker):
            open(self.marker, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def fit(local_ray, tmp_path, monkeypatch):
    """A function that trains a line in a run folder, and gives its slope and history."""
    monkeypatch.setattr(run, "fingerprint", lambda step: "x")
    for split in ("train", "validation"):
        rows = [{"name": f"{split}-{i}", "x": i / 64} for i in range(64)]
        (tmp_path / "data" / f"split={split}").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / f"split={split}" / "a.parquet")

    def train(folder="run", kill="", objective=Line, validation=False, **settings):
        step = Step("line", "trainers.line", str(tmp_path / folder), {}, {})
        output = tmp_path / folder / "line"
        output.mkdir(parents=True, exist_ok=True)
        data = str(tmp_path / "data")
        run.fit(
            step,
            LoopConfig(**(SETTINGS | settings)),
            train_line,
            {"kill": str(kill), "objective": objective},
            split_of(data, "train"),
            split_of(data, "validation") if validation else None,
        )
        history = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        return safetensors.torch.load_file(output / checkpoint.WEIGHTS)["slope"].item(), history

    return train


def losses(history):
    return [(line["step"], line["loss"]) for line in history]


def test_in_process(fit):
    slope, history = fit(num_workers=0)
    assert slope == pytest.approx(3, abs=0.3)
    assert [line["step"] for line in history] == list(range(5, 41, 5))
    assert history[-1]["loss"] < history[0]["loss"] / 10
    assert history[0]["gradient_norm"] > history[-1]["gradient_norm"]


def interrupt(monkeypatch, at):
    """Have training in this process interrupted in its call `at`, counted from 1; gives a list that grows by a call."""
    forward, calls = Line.forward, []

    def interrupted(self, batch):
        calls.append(len(calls))
        if len(calls) == at:
            raise Interrupted
        return forward(self, batch)

    monkeypatch.setattr(Line, "forward", interrupted)
    return calls


def test_a_killed_training_goes_on_as_if_nothing_had_been(fit, monkeypatch):
    whole = fit("whole", num_workers=0)
    calls = interrupt(monkeypatch, at=25)
    with pytest.raises(Interrupted):
        fit("killed", num_workers=0)
    slope, history = fit("killed", num_workers=0)
    assert len(calls) == 25 + 20  # from the state of step 20 to step 40, and nothing twice but steps 21 to 24
    assert slope == whole[0]
    assert losses(history) == losses(whole[1])


def test_the_cost_of_a_training_is_that_of_all_its_starts(fit, monkeypatch, tmp_path):
    calls = interrupt(monkeypatch, at=15)

    class Clocks:
        """An update takes two seconds of CPU, and three by the clock."""

        process_time = staticmethod(lambda: 2.0 * len(calls))
        monotonic = staticmethod(lambda: 3.0 * len(calls))

    monkeypatch.setattr(worker, "time", Clocks)
    with pytest.raises(Interrupted):
        fit(num_workers=0)
    fit(num_workers=0)
    cost = storage.read_json(f"{tmp_path}/run/line/{TRAINING_COST}")
    assert cost == {"core_seconds": 80, "worker_seconds": 120}  # of 40 updates; those that the kill lost do not count


def test_the_cost_is_that_of_all_workers():
    class Second(Worker):
        """The first of two workers, of which the other took three times as long."""

        def __init__(self):
            self.times, self.progress, self.world_size = (time.process_time() - 1, time.monotonic() - 2), Progress(), 2
            self.device, self.rank = torch.device("cpu"), 1
            self.config, self.run, self.outdated = LoopConfig(), None, []
            self.stream, self.log = SimpleNamespace(place=None), SimpleNamespace(pause=lambda: None)

        def mean(self, value):
            return (value + 3 * value) / 2

    first = Second()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray.train, "report", lambda *args, **named: None)
        first._save()
    assert first.progress.core_seconds == pytest.approx(4, abs=0.1)
    assert first.progress.worker_seconds == pytest.approx(8, abs=0.1)


def test_two_workers_survive_a_kill_and_do_what_one_does_with_two_batches(fit, tmp_path):
    marker = tmp_path / "killed"
    slope, history = fit("two", kill=marker, num_workers=2, cpus_per_worker=0.5, validation=True)
    assert marker.exists()
    assert [line["step"] for line in history if "loss" in line] == list(range(5, 41, 5))
    cost = storage.read_json(f"{tmp_path}/two/line/{TRAINING_COST}")
    assert 0 < cost["core_seconds"] < cost["worker_seconds"]
    judged = [line["validation_loss"] for line in history if "validation_loss" in line]
    assert len(judged) == 4
    assert judged[-1] < judged[0]
    alone, _ = fit("one", num_workers=0, accumulate=2)
    assert slope == pytest.approx(alone, abs=1e-4)
    assert slope == pytest.approx(3, abs=0.3)


class Batches:
    """A worker that has these batches."""

    device, world_size = torch.device("cpu"), 1

    def __init__(self, batches):
        self.batches = batches

    def next_batch(self, micro_batch):
        return {"x": self.batches[micro_batch]}

    def see(self, loss):
        pass

    def mean(self, value):
        return value


def test_batches_of_an_update_count_by_their_weight():
    class Mean(Objective):
        weight = "count"

        def __init__(self):
            super().__init__()
            self.slope = nn.Linear(1, 1, bias=False)

        def forward(self, batch):
            loss = (self.slope(batch["x"]) ** 2).mean()
            return loss, {"loss": loss, "count": torch.tensor(len(batch["x"]))}

    x = torch.arange(1.0, 8.0)[:, None]
    slopes = []
    for batches in ([x], [x[:2], x[2:]]):
        torch.manual_seed(0)
        model = Mean()
        config = LoopConfig(accumulate=len(batches), clip_norm=0.0)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        scaler = torch.amp.GradScaler("cpu", enabled=False)
        metrics = loop.update(config, Batches(batches), model, optimizer, scaler, model.weight)
        slopes.append((model.slope.weight.item(), float(metrics["gradient_norm"])))
    assert slopes[0] == pytest.approx(slopes[1])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_sixteen_bits(fit, precision):
    slope, _ = fit(num_workers=0, accumulate=2, **{precision: True})
    assert slope == pytest.approx(3, abs=0.3)


def test_curves_for_tensorboard(fit, tmp_path, read_events):
    _, history = fit(num_workers=0)
    events = read_events(tmp_path / "run" / "_tensorboard" / "line")
    shown = {(e.step, v.tag): v.simple_value for e in events for v in e.summary.value}
    for line in history:
        assert shown[line["step"], "loss"] == pytest.approx(line["loss"])
        assert (line["step"], "gradient_norm") in shown


def test_validation_stops_early_and_keeps_the_best(fit):
    slope, history = fit(
        num_workers=0,
        objective=Worsening,
        validation=True,
        keep_best=True,
        patience=2,
        learning_rate=0.4,
        warmup_steps=0,
    )
    judged = {line["step"]: line["validation_loss"] for line in history if "validation_loss" in line}
    best = min(judged, key=lambda step: judged[step])
    assert max(judged) == best + 20 < 40
    assert abs(slope - 1) == pytest.approx(judged[best], abs=1e-6)


class Drifting(Line):
    metrics = MappingProxyType({"loss": "min", "likeness": "max"})

    def validation(self, batch, number):
        """Tell, of the first batch only, that the slope was most like 1, which is not where the loss is least."""
        metrics = super().validation(batch, number)
        return metrics if number else {**metrics, "likeness": 1 - (self.slope.weight - 1).abs().mean()}


def test_the_best_model_by_a_metric_that_is_to_be_high(fit):
    slope, history = fit(num_workers=0, objective=Drifting, validation=True, keep_best=True, best_metric="likeness")
    judged = [line["validation_likeness"] for line in history if "validation_likeness" in line]
    assert max(judged) > judged[-1]
    assert 1 - abs(slope - 1) == pytest.approx(max(judged), abs=1e-6)


def test_a_metric_that_is_not_measured_is_refused():
    step = Step("line", "trainers.line", "", {}, {})
    with pytest.raises(UserError, match=r"section 'line': loop.best_metric 'mcd' is not one of loss, likeness"):
        check_best_metric(step, LoopConfig(best_metric="mcd"), Drifting)


@pytest.mark.parametrize("validation", [False, True])
def test_the_model_is_the_mean_of_the_last_checkpoints_also_after_a_kill(fit, monkeypatch, tmp_path, validation):
    ends = [fit(f"until-{steps}", num_workers=0, max_steps=steps, schedule="constant")[0] for steps in (20, 30, 40)]
    settings = {"num_workers": 0, "average_last": 3, "schedule": "constant", "validation": validation}
    forward, calls = Line.forward, []

    def interrupted(self, batch):
        calls.extend([0] * self.training)
        if len(calls) == 36:
            raise Interrupted
        return forward(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Line, "forward", interrupted)
        with pytest.raises(Interrupted):
            fit(**settings)
    assert sorted(path.name for path in (tmp_path / "run").rglob("snapshot-*")) == [
        f"snapshot-{step:08d}" for step in (10, 20, 30)
    ]
    slope, _ = fit(**settings)
    assert slope == pytest.approx(sum(ends) / 3, abs=1e-6)


def test_what_a_validation_finds_wrong_is_told_once(fit, monkeypatch):
    class Worried(Line):
        def validation_concern(self, metrics):
            return f"a loss of {metrics['loss']:.0f} is no good"

    told = []
    monkeypatch.setattr(log, "LEARNING_STEPS", (0, 0))
    monkeypatch.setattr(log, "tell", told.append)
    fit(num_workers=0, objective=Worried, validation=True)
    assert ["step 10" in line for line in told if "is no good" in line] == [True]


@pytest.mark.parametrize(("max_steps", "settled"), [(500, 300), (5_000, 600), (400_000, 2_100)])
def test_concerns_are_told_once_the_model_should_have_learned(max_steps, settled):
    assert log.settled_step(LoopConfig(max_steps=max_steps, warmup_steps=100)) == settled


def test_keep_best_needs_a_validation_split(fit):
    with pytest.raises(UserError, match="validation split"):
        fit(num_workers=0, keep_best=True)


class Breaking(Line):
    def forward(self, batch):
        loss, metrics = super().forward(batch)
        return loss * (torch.nan if (batch["x"] == 7 / 64).any() else 1.0), metrics


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_loss_that_is_no_number_stops_with_the_names(fit, tmp_path, num_workers):
    with pytest.raises(UserError, match=r"loss is not a number at step \d.*worker-\d.json"):
        fit(num_workers=num_workers, cpus_per_worker=0.5, objective=Breaking)
    written = [json.loads(p.read_text()) for p in (tmp_path / "run").rglob("worker-*.json")]
    assert any("train-7" in w["names"] and len(w["names"]) == 8 and w["losses"] == ["nan"] for w in written)


def test_a_training_that_stopped_early_stays_so_after_a_kill(fit, monkeypatch):
    """The kill comes when all is done but the model's folder."""
    settings = {"objective": Worsening, "validation": True, "keep_best": True, "patience": 1, "learning_rate": 0.4}
    finish, calls = Worker.finish, []

    def interrupted(self, write_model):
        calls.append(self.progress.step)
        if len(calls) == 1:
            raise Interrupted
        return finish(self, write_model)

    monkeypatch.setattr(Worker, "finish", interrupted)
    with pytest.raises(Interrupted):
        fit(num_workers=0, **settings)
    slope, history = fit(num_workers=0, **settings)
    assert calls[0] == calls[1] < 40
    assert abs(slope - 1) == pytest.approx(min(line.get("validation_loss", 9) for line in history), abs=1e-6)


def test_a_node_that_is_taken_back_costs_one_checkpoint(fit, monkeypatch):
    saved = []
    save = Worker._save
    monkeypatch.setattr(Worker, "_save", lambda self: (saved.append(self.progress.step), save(self)))
    monkeypatch.setattr(Worker, "_is_to_be_taken_back", taken_back_after_15(Worker._is_to_be_taken_back))
    fit(num_workers=0)
    assert saved == [10, 15, 20, 30, 40]


def taken_back_after_15(method):
    """Make a worker of a larger group, and Ray Train tell from step 15 on that a node goes."""

    def patched(self):
        self.world_size, before = 2, self.world_size
        ray.train.get_preemption_info, told = lambda: self.progress.step >= 15 or None, ray.train.get_preemption_info
        try:
            return method(self)
        finally:
            self.world_size, ray.train.get_preemption_info = before, told

    return patched


def test_contradictions_are_refused():
    for settings in ({"bf16": True, "fp16": True}, {"patience": 1, "validation_batches": 0}, {"num_workers": -1}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            LoopConfig(**settings)
    with pytest.raises(ValueError, match="min_workers"):
        LoopConfig(min_workers=3, num_workers=2)
