"""What models that speak spectrograms share: steps of r frames, Tacotron 2's parts and criterion, and generation.

The decoder hears what it said and says r frames a step, with the odds that they are the last ones.
Source: fairseq's tacotron2.py, tacotron2_loss.py and speech_generator.py, except that padding never counts: a padded
batch equals single utterances, also in the postnet's BatchNorm and in generation.

Shapes: B batch, S states of the source, T steps of the target, M mel bands, F = r M.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.features.speech_mel import NUM_MELS
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
    """A model whose decoder speaks a spectrogram step by step; subclasses give `start`, `step` and `refine`."""

    config: SpectrogramConfig
    frames_per_step: int  # r

    def start(self, source: Tensor, source_lengths: Tensor) -> Any:
        """Encode sources (B, frames, features) of source_lengths (B,); give a state that `step` goes on with.

        The state has `state_lengths` (B,), the number of states of each source.
        """
        raise NotImplementedError

    def step(self, said: Tensor, state: Any, random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Hear the step before, (B, 1, F) -> what is said next (B, 1, F), stop logits (B, 1), attention (B, 1, S)."""
        raise NotImplementedError

    def refine(self, coarse: Tensor, lengths: Tensor) -> Tensor:
        """Let the postnet correct steps (B, T, F) of lengths (B,)."""
        raise NotImplementedError

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
            said, stop_logits, attention = self.step(said, state, random)
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
        self.dropout = nn.Dropout(config.dropout)
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


def said_before(target: Tensor) -> Tensor:
    """What the decoder hears in each step of a target (B, T, F): the step before, and silence of zeros at first."""
    return functional.pad(target[:, :-1], (0, 0, 1, 0))


def spectrogram_loss(
    prediction: Prediction, target: Tensor, lengths: Tensor, guided_sigma: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Tacotron 2's criterion for a target (B, T, F) of lengths (B,), and its terms {l1, mse, stop, attention}.

    L1 and squared errors of coarse and fine frames, the cross-entropy of stopping, and, where guided_sigma is above 0,
    what `guided_attention_loss` adds; each the mean over what is no padding.
    """
    true = padding_mask(lengths, target.size(1))[:, 0, 0]
    expected, coarse, fine = target[true], prediction.coarse[true].float(), prediction.fine[true].float()
    last = torch.arange(target.size(1), device=target.device) == lengths.unsqueeze(1) - 1
    stop_logits = prediction.stop_logits[true].float()
    terms = {
        "l1": functional.l1_loss(coarse, expected) + functional.l1_loss(fine, expected),
        "mse": functional.mse_loss(coarse, expected) + functional.mse_loss(fine, expected),
        "stop": functional.binary_cross_entropy_with_logits(stop_logits, last[true].float()),
    }
    if guided_sigma:
        terms["attention"] = guided_attention_loss(
            prediction.attention, lengths, prediction.state_lengths, guided_sigma
        )
    return torch.stack(list(terms.values())).sum(), {name: term.detach() for name, term in terms.items()}


def guided_attention_loss(attention: Tensor, lengths: Tensor, state_lengths: Tensor, sigma: float) -> Tensor:
    """Mean attention (B, T, S) that is far from the diagonal (Tachibana et al. 2017).

    Unlike fairseq's criterion of speech-to-speech, which takes frames of the source for states and fails.
    """
    steps = torch.arange(attention.size(1), device=attention.device)[:, None] / lengths[:, None, None]
    states = torch.arange(attention.size(2), device=attention.device) / state_lengths[:, None, None]
    weights = 1 - torch.exp(-((states - steps) ** 2) / (2 * sigma**2))
    return (weights * attention)[(steps < 1) & (states < 1)].mean()
