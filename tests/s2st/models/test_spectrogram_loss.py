import pytest
import torch

from s2st.models.spectrogram_decoding import Prediction
from s2st.models.spectrogram_loss import guided_attention_loss, spectrogram_loss


def prediction(frames: torch.Tensor, stop_logits: torch.Tensor) -> Prediction:
    steps = frames.size(1)
    return Prediction(frames, frames, stop_logits, torch.full((2, steps, 3), 1 / 3), torch.tensor([3, 2]))


def test_only_true_steps_and_the_last_of_them_count() -> None:
    target, lengths = torch.randn(2, 4, 10), torch.tensor([4, 2])
    wrong = target + 0.5
    wrong[1, 2:] = 100
    logits = torch.tensor([[-20.0, -20, -20, 20], [-20, 20, 20, -20]])
    loss, terms = spectrogram_loss(prediction(wrong, logits), target, lengths)
    found = {name: term.item() for name, term in terms.items()}
    assert found == {"l1": pytest.approx(2 * 0.5), "mse": pytest.approx(2 * 0.25), "stop": pytest.approx(0, abs=1e-6)}
    assert loss.item() == pytest.approx(1.5)
    late, _ = spectrogram_loss(prediction(target, logits.roll(1, 1)), target, lengths)
    assert late > 5


def test_attention_is_drawn_to_the_diagonal() -> None:
    steps = states = torch.tensor([6])
    diagonal = torch.eye(6)[None]
    assert guided_attention_loss(diagonal, steps, states, 0.4) == 0
    assert guided_attention_loss(diagonal.flip(2), steps, states, 0.4) > 0.05
