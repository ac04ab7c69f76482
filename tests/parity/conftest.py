"""Shared by the parity tests: random weights that matter, and what every encoder must hold."""

from collections.abc import Callable

import pytest
import torch


@pytest.fixture
def randomize() -> Callable[[torch.nn.Module], None]:
    """A function that gives every parameter values that matter: norms and biases are 1 and 0 as made."""

    def fill(module: torch.nn.Module) -> None:
        torch.manual_seed(0)
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, mean=0.3 if parameter.dim() == 1 else 0.0, std=0.15)

    return fill


@pytest.fixture
def check_padding() -> Callable[[torch.nn.Module, int], None]:
    """A function that holds a layer of an encoder in a padded batch against each utterance alone."""

    @torch.no_grad()
    def check(encoder: torch.nn.Module, layer: int) -> None:
        torch.manual_seed(1)
        lengths = torch.tensor([16_000, 410, 5_003, 1_600, 11_999, 640])
        waveform = torch.randn(len(lengths), 16_000) * 0.1 + 0.02  # what lies past the lengths must not matter
        together, frames = encoder.extract(waveform, lengths, layer)
        for row, length in enumerate(lengths.tolist()):
            alone, alone_frames = encoder.extract(waveform[row : row + 1, :length], lengths[row : row + 1], layer)
            assert alone.shape[1] == alone_frames[0] == frames[row]
            torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=2e-5, rtol=0)

    return check
