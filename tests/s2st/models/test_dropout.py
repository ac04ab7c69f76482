import pytest
import torch

from s2st.models.dropout import Dropout, chosen


def test_as_much_is_chosen_as_asked_and_anew_each_time() -> None:
    torch.manual_seed(0)
    first, second = (chosen((1000, 999), 0.9) for _ in range(2))
    assert abs(float(first.float().mean()) - 0.9) < 0.002
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chance", [1e-9, 0.1, 0.3, 1 - 1e-9, 1.0])
def test_what_stays_is_scaled_and_has_the_gradient(chance: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = (torch.rand(101, 203) + 1).to(dtype).requires_grad_()
    y = Dropout(chance)(x)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    kept = y != 0
    assert y.dtype == dtype
    assert abs(float(kept.float().mean()) - (1 - chance)) < 0.01
    if kept.any():
        torch.testing.assert_close(y[kept].float(), (x[kept].float() / (1 - chance)), rtol=1e-2, atol=0)
        torch.testing.assert_close(gradient, kept * (1 / (1 - chance)), check_dtype=False, rtol=1e-2, atol=0)
    else:
        assert not gradient.any()


def test_a_seed_repeats_it_and_nothing_is_dropped_outside_training() -> None:
    x, dropout = torch.randn(7, 5), Dropout(0.5)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(dropout(x))
    assert torch.equal(*results)
    assert dropout.eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_long_sequences_of_draws_are_independent() -> None:
    torch.manual_seed(0)
    kept = chosen((400, 1000), 0.5).float() - 0.5
    together = (kept[:, :-1] * kept[:, 1:]).mean()  # neighbours share a draw of 64 bits
    assert abs(float(together)) < 2e-3
