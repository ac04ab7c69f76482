import pytest
import torch
import torch.nn.functional as F

from s2st.models import dropped_attention
from s2st.models.dropout import chosen


@pytest.mark.parametrize("at_once", [1, 1 << 18], ids=["head by head", "all heads"])
@pytest.mark.parametrize("padded", [False, True])
def test_equals_dropping_from_all_probabilities(padded: bool, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropped_attention, "SCORES_AT_ONCE", at_once)
    torch.manual_seed(0)
    inputs = [(torch.randn(2, 3, 30, 8) * 2).requires_grad_() for _ in range(3)]
    gradient = torch.randn(2, 3, 30, 8)
    attended = torch.ones(2, 1, 1, 30, dtype=torch.bool) if padded else None
    if attended is not None:
        attended[1, ..., 20:] = False
    torch.manual_seed(1)
    found = dropped_attention.attention(*inputs, attended, 0.2)
    torch.manual_seed(1)
    kept = chosen((6, 30, 30), 0.8).view(2, 3, 30, 30)
    query, key, value = inputs
    scores = query @ key.transpose(2, 3) / 8**0.5
    if attended is not None:
        scores = scores.masked_fill(~attended, -torch.inf)
    expected = F.softmax(scores, -1) * kept / 0.8 @ value
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    for ours, true in zip(*(torch.autograd.grad(y, inputs, gradient) for y in (found, expected)), strict=True):
        torch.testing.assert_close(ours, true, atol=2e-5, rtol=1e-4)


def test_gradients_stay_in_float32_where_backward_is_called_under_autocast() -> None:
    inputs = [torch.randn(2, 3, 30, 8).requires_grad_() for _ in range(3)]
    with torch.autocast("cpu", torch.bfloat16, enabled=False):
        output = dropped_attention.attention(*inputs, None, 0.2)
    exact = torch.autograd.grad(output.sum(), inputs, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        again = torch.autograd.grad(output.sum(), inputs)
    assert all(torch.equal(one, other) for one, other in zip(exact, again, strict=True))
