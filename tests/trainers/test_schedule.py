import numpy as np
import pytest
import torch

from trainers.schedule import ScheduleConfig, learning_rate


def test_learning_rates():
    linear = ScheduleConfig(max_steps=10, learning_rate=1.0, warmup_steps=2)
    assert [round(learning_rate(linear, step), 3) for step in (0, 1, 2, 6, 9)] == [0.5, 1.0, 1.0, 0.5, 0.125]
    inverse = ScheduleConfig(max_steps=10, learning_rate=1.0, warmup_steps=4, schedule="inverse_sqrt")
    assert [learning_rate(inverse, step) for step in (3, 15)] == [1.0, 0.5]
    constant = ScheduleConfig(max_steps=10, learning_rate=1.0, schedule="constant")
    np.testing.assert_array_equal([learning_rate(constant, step) for step in range(10)], 1.0)


def test_tri_stage_alone_is_the_decay_of_hifigan():
    """ExponentialLR of 0.999 an epoch, here of 20 updates."""
    epochs, updates = 50, 20
    config = ScheduleConfig(
        max_steps=1000, learning_rate=2e-4, schedule="tri_stage", decay_steps=1000, final_scale=0.999**epochs
    )
    optimizer = torch.optim.SGD([torch.zeros(1)], 2e-4)
    reference = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.999)
    for epoch in range(epochs):
        assert learning_rate(config, epoch * updates) == pytest.approx(reference.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        reference.step()


def test_tri_stage_needs_decay_steps():
    with pytest.raises(ValueError, match="decay_steps"):
        ScheduleConfig(schedule="tri_stage")
