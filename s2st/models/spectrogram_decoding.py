"""What models that speak spectrograms share: steps of r frames, generation, and Tacotron 2's prenet and postnet.

The decoder hears what it said and says r frames a step, with the odds that they are the last ones.
Source: fairseq's tacotron2.py and speech_generator.py, except that padding never counts: a padded batch equals single
utterances, also in the postnet's BatchNorm and in generation.

Shapes: B batch, S states of the source, T steps of the target, M mel bands, F = r M.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.features.speech_mel import NUM_MELS
from s2st.models.dropout import Dropout
from s2st.models.transformer import padding_mask

STOP_PROBABILITY = 0.5  # above it a step is the last one


@dataclass(frozen=True)
class PostnetConfig:
    num_layers: int = 5
    dim: int = 512
    kernel: int = 5
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel} must be odd, so that the postnet keeps the number of frames")


class SpectrogramConfig(Protocol):
    """What is known of every model that speaks spectrograms."""

    @property
    def frames_per_step(self) -> int:
        """Frames that are said at once, r."""

    @property
    def deltas(self) -> bool:
        """Whether it hears the slopes of the filterbank, too."""

    @property
    def max_source_frames(self) -> int:
        """Longest source, in frames of 10 ms."""

    @property
    def max_steps(self) -> int:
        """Longest target."""


@dataclass(frozen=True)
class Prediction:
    """What is said in each step, for a target that is known."""

    coarse: Tensor  # (B, T, F), log-mel
    fine: Tensor  # (B, T, F), after the postnet
    stop_logits: Tensor  # (B, T)
    attention: Tensor  # (B, T, S), a distribution over the states of the source
    state_lengths: Tensor  # (B,), of the source


@dataclass(frozen=True)
class Spectrogram:
    """What is said to a source."""

    log_mel: Tensor  # (r T, M), natural logarithm of magnitudes, as features/speech_mel.py
    attention: Tensor  # (T, S)
    finished: bool  # False if it was cut at the limit: the model did not say when to stop


class SpectrogramModel(nn.Module):
    """A model whose decoder speaks a spectrogram step by step; subclasses give `start` and `decode`."""

    config: SpectrogramConfig
    postnet: "Postnet | None"

    @property
    def frames_per_step(self) -> int:
        return self.config.frames_per_step

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor, lengths: Tensor) -> Prediction:
        """Say each step of a target after having heard the true one before it.

        source (B, frames, features), source_lengths (B,), target (B, T, F) of `pack`, lengths (B,).
        """
        state = self.start(source, source_lengths)
        before = functional.pad(target[:, :-1], (0, 0, 1, 0))  # zeros at first
        coarse, stop_logits, attention = self.decode(before, state)
        return Prediction(coarse, self.refine(coarse, lengths), stop_logits, attention, state.state_lengths)

    def start(self, source: Tensor, source_lengths: Tensor) -> Any:
        """Encode sources (B, frames, features) of source_lengths (B,); give a state that `decode` goes on with.

        The state has `state_lengths` (B,), the number of states of each source.
        """
        raise NotImplementedError

    def decode(self, said: Tensor, state: Any, random: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Hear steps (B, T, F) behind those that the state knows, and add them to it.

        Gives what is said after each (B, T, F), stop logits (B, T) and attention (B, T, S). `random` draws the dropout
        of the prenet, the same for all rows.
        """
        raise NotImplementedError

    def refine(self, coarse: Tensor, lengths: Tensor) -> Tensor:
        """Let the postnet, where there is one, correct steps (B, T, F) of lengths (B,)."""
        return coarse if self.postnet is None else self.postnet(coarse, lengths)

    @torch.no_grad()
    def generate(self, source: Tensor, source_lengths: Tensor, limits: Tensor, seed: int = 0) -> list[Spectrogram]:
        """Speak to sources (B, frames, features), in eval mode, until each says that it ends.

        limits (B,) are the steps after which each is cut. The dropout of the prenet, which is never off, is drawn from
        `seed`, the same for all rows.
        """
        state = self.start(source, source_lengths)
        random = torch.Generator(source.device).manual_seed(seed)
        said = source.new_zeros(len(source), 1, self.frames_per_step * NUM_MELS)
        lengths, finished = limits.clone(), torch.zeros_like(limits, dtype=torch.bool)
        steps, attentions = [], []
        for number in range(1, int(limits.max()) + 1):
            said, stop_logits, attention = self.decode(said, state, random)
            steps.append(said)
            attentions.append(attention)
            ends = (stop_logits[:, 0].sigmoid() > STOP_PROBABILITY) & (lengths >= number) & ~finished
            lengths[ends] = number
            finished |= ends
            if (finished | (lengths <= number)).all():
                break
        fine = self.refine(torch.cat(steps, 1), lengths).float()
        attention, states = torch.cat(attentions, 1), state.state_lengths.tolist()
        return [
            Spectrogram(fine[i, :length].reshape(-1, NUM_MELS), attention[i, :length, : states[i]], bool(finished[i]))
            for i, length in enumerate(lengths.tolist())
        ]


class Prenet(nn.Module):
    """Layers that hear the step before through dropout that is never off, so that they cannot rely on it alone."""

    def __init__(self, in_dim: int, dim: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(nn.Linear(dim if i else in_dim, dim) for i in range(num_layers))

    def forward(self, x: Tensor, random: torch.Generator | None = None) -> Tensor:
        """x (B, T, F) -> (B, T, dim); all rows lose the same if `random` draws it, so that they equal single ones."""
        for layer in self.layers:
            x = functional.relu(layer(x))
            if random is None:
                x = functional.dropout(x, self.dropout)
            else:
                kept = torch.rand(x.shape[1:], generator=random, device=x.device) >= self.dropout
                x = x * kept / (1 - self.dropout)
        return x


class Postnet(nn.Module):
    """Convolutions over steps, whose sum with what they hear is the spectrogram."""

    def __init__(self, config: PostnetConfig, dim: int) -> None:
        super().__init__()
        sizes = [dim, *[config.dim] * (config.num_layers - 1), dim]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(sizes[i], sizes[i + 1], config.kernel, padding=config.kernel // 2)
            for i in range(config.num_layers)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for size in sizes[1:])
        self.dropout = Dropout(config.dropout)
        for convolution in self.convolutions:
            nn.init.xavier_uniform_(convolution.weight, nn.init.calculate_gain("tanh"))  # type: ignore[arg-type]

    def forward(self, coarse: Tensor, lengths: Tensor) -> Tensor:
        """Correct steps (B, T, F) of lengths (B,) -> (B, T, F)."""
        true = padding_mask(lengths, coarse.size(1))[:, 0, 0]
        x = coarse * true.unsqueeze(2)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            steps = norm(convolution(x.transpose(1, 2)).transpose(1, 2)[true])
            steps = self.dropout(steps if norm is self.norms[-1] else steps.tanh())
            x = steps.new_zeros(*true.shape, steps.size(1)).masked_scatter(true.unsqueeze(2), steps)
        return coarse + x


def pack(log_mel: Tensor, frames_per_step: int) -> Tensor:
    """Put r frames beside each other: (frames, M) -> (T, F); what is left over is dropped, as fairseq does."""
    steps = len(log_mel) // frames_per_step
    return log_mel[: steps * frames_per_step].reshape(steps, -1)
