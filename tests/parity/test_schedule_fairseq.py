"""Learning rates against fairseq's own schedules."""

import pytest

from trainers.schedule import ScheduleConfig, learning_rate

fairseq = pytest.importorskip("fairseq")
polynomial = pytest.importorskip("fairseq.optim.lr_scheduler.polynomial_decay_schedule")
tri_stage = pytest.importorskip("fairseq.optim.lr_scheduler.tri_stage_lr_scheduler")


class Optimizer:
    """What fairseq's schedules want of an optimizer."""

    def set_lr(self, rate):
        self.rate = rate

    def get_lr(self):
        return self.rate


def rates_of(schedule, updates):
    """Learning rates that fairseq's trainer makes updates with."""
    rates = []
    for update in range(updates):
        schedule.step_update(update)
        rates.append(schedule.optimizer.get_lr())
    return rates


@pytest.fixture(autouse=True)
def any_optimizer(monkeypatch):
    monkeypatch.setattr("fairseq.optim.lr_scheduler.fairseq_lr_scheduler.FairseqOptimizer", Optimizer)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_polynomial(power):
    config = polynomial.PolynomialDecayLRScheduleConfig(
        warmup_updates=10, power=power, total_num_update=50, lr=[5e-4], end_learning_rate=0.0
    )
    theirs = rates_of(polynomial.PolynomialDecayLRSchedule(config, Optimizer()), 50)
    ours = ScheduleConfig(max_steps=50, learning_rate=5e-4, warmup_steps=10, decay_power=power)
    assert [learning_rate(ours, step) for step in range(10, 50)] == pytest.approx(theirs[10:])
    assert [learning_rate(ours, step - 1) for step in range(1, 10)] == pytest.approx(theirs[1:10])  # see learning_rate


def test_tri_stage():
    config = tri_stage.TriStageLRScheduleConfig(
        warmup_steps=8, hold_steps=5, decay_steps=20, init_lr_scale=0.01, final_lr_scale=0.05, lr=[2e-5], max_update=50
    )
    theirs = rates_of(tri_stage.TriStageLRSchedule(config, Optimizer()), 50)
    ours = ScheduleConfig(
        max_steps=50, learning_rate=2e-5, warmup_steps=8, schedule="tri_stage", hold_steps=5, decay_steps=20
    )
    assert [learning_rate(ours, step) for step in range(50)] == pytest.approx(theirs)
