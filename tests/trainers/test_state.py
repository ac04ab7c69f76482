import math

import pytest
import torch
from torch import nn

from s2st.config import UserError
from trainers import state
from trainers.batches import Place
from trainers.state import Progress


class Tied(nn.Module):
    """Two names of one tensor, as tied embeddings have."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3)
        self.second = nn.Linear(3, 3)
        self.second.weight = self.first.weight


def trained():
    torch.manual_seed(0)
    model = Tied()
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    model.second(model.first(torch.randn(4, 3))).square().mean().backward()
    optimizer.step()
    return {"model": model, "optimizer": optimizer}


def test_a_state_comes_back_as_it_was(tmp_path):
    parts = trained()
    progress = Progress(7, Place(3, 2), [{"step": 5, "loss": 0.25}], 1.5, 1.25, 5, 1, {"scale": 1024.0})
    state.save(str(tmp_path), parts, progress)
    torch.manual_seed(1)
    other = Tied()
    again = {"model": other, "optimizer": torch.optim.AdamW(other.parameters(), 0.3)}
    assert state.load(str(tmp_path), again) == state.read_progress(str(tmp_path)) == progress
    for key, value in parts["model"].state_dict().items():
        assert torch.equal(again["model"].state_dict()[key], value)
    ours, theirs = parts["optimizer"].state_dict()["state"], again["optimizer"].state_dict()["state"]
    assert all(torch.equal(theirs[i][key], ours[i][key]) for i in ours for key in ours[i])
    assert again["optimizer"].param_groups[0]["lr"] == 0.3  # settings come from the recipe


def test_nothing_done_is_a_state(tmp_path):
    assert state.read_progress(str(tmp_path)) == Progress()


def test_a_header_of_absurd_size_is_refused(tmp_path):
    (tmp_path / state.FILE).write_bytes((1 << 60).to_bytes(8, "little"))
    with pytest.raises(UserError, match="header"):
        state.read_progress(str(tmp_path))


def test_a_loss_that_is_no_number_is_never_the_best():
    progress = Progress(step=10)
    assert not progress.judge(math.nan)
    progress.step = 20
    assert progress.judge(2.0)
    assert not progress.judge(math.inf)
    assert (progress.least, progress.best_step, progress.worse) == (2.0, 20, 1)
