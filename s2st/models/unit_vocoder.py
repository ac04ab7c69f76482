"""What every unit vocoder shares: embedded units, predicted durations, exact batches.

A vocoder is trained on full unit sequences (one unit for each 20 ms) and speaks reduced ones, whose durations
it predicts (Lee et al. 2022, "Direct speech-to-speech translation with discrete units"). We differ from that
work's code in batching: sequences of different lengths are padded, and what is past the end of a sequence is
set to zero after each layer, so a batch gives what its members give alone.

Shapes: B batch, L reduced units, T unit frames (50 Hz), N = T * HOP samples, C channels, E width of a unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.audio import HOP

LONGEST_UNIT = 500  # frames, 10 s: a badly trained predictor must not fill the memory
ISTFT_REACH = 2  # frames on each side of a frame whose windows overlap it in `inverse_stft`


@dataclass(frozen=True)
class UnitVocoderConfig:
    num_units: int = 100  # codebook size
    embedding_dim: int = 128  # of a unit
    num_speakers: int = 0  # 0: one voice, no speaker embedding
    speaker_dim: int = 128  # joined to each unit embedding when there are speakers
    num_languages: int = 0  # 0: no language embedding
    language_dim: int = 128  # joined to each unit embedding when there are languages
    predict_durations: bool = True  # False: it speaks full units only
    duration_hidden_dim: int = 128
    duration_kernel_size: int = 3  # odd
    duration_dropout: float = 0.5
    cumulative_rounding: bool = False  # round the ends of units, not each duration: errors do not add up

    def __post_init__(self) -> None:
        if self.duration_kernel_size % 2 == 0:
            raise ValueError(f"duration_kernel_size={self.duration_kernel_size} must be odd: use 3 or 5")

    @property
    def input_dim(self) -> int:
        """Width of a unit embedding with its speaker and language."""
        speaker_dim = self.speaker_dim if self.num_speakers else 0
        return self.embedding_dim + speaker_dim + (self.language_dim if self.num_languages else 0)


class DurationPredictor(nn.Module):
    def __init__(self, config: UnitVocoderConfig) -> None:
        super().__init__()
        hidden, kernel = config.duration_hidden_dim, config.duration_kernel_size
        self.conv1 = nn.Conv1d(config.embedding_dim, hidden, kernel, padding=kernel // 2)
        self.norm1 = nn.LayerNorm(hidden)
        self.conv2 = nn.Conv1d(hidden, hidden, kernel, padding=kernel // 2)
        self.norm2 = nn.LayerNorm(hidden)
        self.proj = nn.Linear(hidden, 1)
        self.dropout = nn.Dropout(config.duration_dropout)

    @property
    def context(self) -> int:
        """Units on each side of a unit that its duration depends on."""
        return int(self.conv1.padding[0]) + int(self.conv2.padding[0])

    def forward(self, embedded: Tensor, mask: Tensor) -> Tensor:
        """Predict ln(duration + 1). embedded (B, L, E), mask (B, L) true at units -> (B, L)."""
        x = embedded * mask.unsqueeze(2)
        x = self.dropout(self.norm1(self.conv1(x.transpose(1, 2)).relu().transpose(1, 2)))
        x = x * mask.unsqueeze(2)
        x = self.dropout(self.norm2(self.conv2(x.transpose(1, 2)).relu().transpose(1, 2)))
        return self.proj(x).squeeze(2)


class UnitVocoder(nn.Module):
    """A subclass turns embedded units into a waveform in `generate`."""

    def __init__(self, config: UnitVocoderConfig) -> None:
        super().__init__()
        self.unit_embedding = nn.Embedding(config.num_units, config.embedding_dim)
        self.speaker_embedding = _embedding(config.num_speakers, config.speaker_dim)
        self.language_embedding = _embedding(config.num_languages, config.language_dim)
        self.duration_predictor = DurationPredictor(config) if config.predict_durations else None
        self.num_languages, self.num_speakers = config.num_languages, config.num_speakers
        self.cumulative_rounding = config.cumulative_rounding

    @torch.no_grad()
    def embed_by(self, centroids: Tensor) -> None:
        """Let the embeddings be the centroids of their units, not learned: what sounds alike is spoken alike.

        centroids (K, D): each dimension is scaled, and the first principal components are as far apart as random
        embeddings are. Not in the reference, which learns each unit from the few frames that it has.
        """
        scaled = (centroids - centroids.mean(0)) / centroids.std(0, correction=0).clamp(min=1e-8)
        directions, sizes, _ = torch.linalg.svd(scaled, full_matrices=False)
        components = (directions * sizes)[:, : self.unit_embedding.embedding_dim]
        self.unit_embedding.weight.zero_()
        self.unit_embedding.weight[:, : components.shape[1]] = components / components.std(correction=0).clamp(min=1e-8)
        self.unit_embedding.weight.requires_grad_(False)

    def generate(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """Make the waveform. features (B, input_dim, T), zero where mask (B, 1, T) is false -> (B, N)."""
        raise NotImplementedError

    def forward(self, units: Tensor, speaker: Tensor | None = None, language: Tensor | None = None) -> Tensor:
        """Waveform of full-rate units. units (B, T), speaker (B,), language (B,) -> (B, N)."""
        return self.generate(self._embed(units, speaker, language), None)

    def duration_loss(self, units: Tensor, lengths: Tensor) -> Tensor:
        """Mean squared error of ln(duration + 1). units (B, T) of whole utterances, lengths (B,) -> scalar.

        It is 0 where no durations are predicted.
        """
        if self.duration_predictor is None:
            return torch.zeros((), device=units.device)
        reduced, durations = _runs(units, lengths)
        mask = durations > 0
        predicted = self.duration_predictor(self.unit_embedding(reduced), mask)
        errors = (predicted.float() - torch.log(durations + 1.0)) ** 2
        return (errors * mask).sum() / mask.sum()

    @property
    def context(self) -> int:
        """Frames on each side of a frame that its samples depend on, none beyond."""
        raise NotImplementedError

    @property
    def duration_context(self) -> int:
        """Units on each side of a unit that its predicted duration depends on, none beyond."""
        predictor = self.duration_predictor
        return 0 if predictor is None else predictor.context

    @torch.no_grad()
    def speak(
        self,
        units: Tensor,
        lengths: Tensor,
        durations: Tensor | None = None,
        speaker: Tensor | None = None,
        language: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Speak reduced units, each sequence of the batch as it would be spoken alone.

        units (B, L), lengths (B,), durations (B, L) in unit frames or predicted, speaker (B,), language (B,)
        -> waveform (B, N) zero past the end, num_samples (B,), durations (B, L) zero past the end.
        Raises ValueError if durations are neither given nor predicted.
        """
        features, num_frames, durations = self.features(units, lengths, durations, speaker, language)
        if features.device.type == "cpu":  # which gains nothing from a batch: alone, no sequence has padding
            pairs = zip(features, num_frames.tolist(), strict=True)
            rows = [self.waveform(row[None, :, :count], None)[0] for row, count in pairs]
            return nn.utils.rnn.pad_sequence(rows, batch_first=True), num_frames * HOP, durations
        mask = (torch.arange(features.shape[2], device=units.device) < num_frames.unsqueeze(1)).unsqueeze(1)
        return self.waveform(features, None if mask.all() else mask), num_frames * HOP, durations

    def features(
        self,
        units: Tensor,
        lengths: Tensor,
        durations: Tensor | None = None,
        speaker: Tensor | None = None,
        language: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Embed reduced units, as long as each lasts.

        As `speak` takes them -> features (B, input_dim, T) zero past the end, num_frames (B,), durations (B, L).
        """
        mask = torch.arange(units.shape[1], device=units.device) < lengths.unsqueeze(1)
        if durations is None:
            durations = self._predict_durations(units, mask)
        durations = durations * mask
        num_frames = durations.sum(1)
        frames = torch.arange(int(num_frames.max()), device=units.device).expand(units.shape[0], -1).contiguous()
        index = torch.searchsorted(durations.cumsum(1), frames, right=True).clamp(max=units.shape[1] - 1)
        features = self._embed(units.gather(1, index), speaker, language)
        return features * (frames < num_frames.unsqueeze(1)).unsqueeze(1), num_frames, durations

    def waveform(self, features: Tensor, mask: Tensor | None) -> Tensor:
        """As `generate`, but float32 within [-1, 1], of no frames too, and zero where the mask is false."""
        if features.shape[2] == 0:
            return features.new_zeros(features.shape[0], 0, dtype=torch.float32)
        waveform = self.generate(features, mask).float().clamp(-1, 1)
        return waveform if mask is None else waveform * mask.squeeze(1).repeat_interleave(HOP, dim=1)

    def prepare_to_speak(self) -> None:
        """Make the weights as fast as they get on their device; they can no longer be trained or saved."""
        self.remove_weight_norm()
        self.requires_grad_(False)

    def remove_weight_norm(self) -> None:
        """Fold each weight norm into its weight."""
        for module in self.modules():
            if nn.utils.parametrize.is_parametrized(module, "weight"):
                nn.utils.parametrize.remove_parametrizations(module, "weight")

    def _embed(self, units: Tensor, speaker: Tensor | None, language: Tensor | None) -> Tensor:
        """units (B, T), speaker (B,), language (B,) -> (B, input_dim, T): language, unit, speaker."""
        parts = [self.unit_embedding(units)]
        if (speaker is None) == bool(self.num_speakers):
            raise ValueError(f"this vocoder has {self.num_speakers} speakers: pass speaker if and only if it has any")
        if (language is None) == bool(self.num_languages):
            raise ValueError(
                f"this vocoder has {self.num_languages} languages: pass language if and only if it has any"
            )
        if self.speaker_embedding is not None and speaker is not None:
            parts.append(self.speaker_embedding(speaker).unsqueeze(1).expand(-1, units.shape[1], -1))
        if self.language_embedding is not None and language is not None:
            parts.insert(0, self.language_embedding(language).unsqueeze(1).expand(-1, units.shape[1], -1))
        return torch.cat(parts, dim=2).transpose(1, 2)

    def expected_durations(self, units: Tensor, mask: Tensor) -> Tensor:
        """Predict durations that are not rounded yet. units (B, L), mask (B, L) -> (B, L), float64, in frames."""
        if self.duration_predictor is None:
            raise ValueError("this vocoder predicts no durations: pass those of its units")
        with torch.autocast(units.device.type, enabled=False):  # else rounding in bf16 changes durations
            log_durations = self.duration_predictor(self.unit_embedding(units), mask)
        return log_durations.double().exp().clamp(max=LONGEST_UNIT + 1) - 1

    def round_durations(self, expected: Tensor, begin: Tensor) -> tuple[Tensor, Tensor]:
        """Round durations (B, L) of units that begin at `begin` (B, 1) -> durations (B, L), at least 1, end (B, 1).

        `begin` and `end` are sums of expected durations: 0 for the first units, and what they end at for the next.
        """
        ends = torch.cat([begin, expected.clamp(min=1)], 1).cumsum(1)
        if not self.cumulative_rounding:
            return expected.round().long().clamp(min=1), ends[:, -1:]
        # Ends at least 1 apart stay so when all are rounded up at .5; round() would go to the even neighbour.
        return (ends + 0.5).floor().long().diff(dim=1), ends[:, -1:]

    def _predict_durations(self, units: Tensor, mask: Tensor) -> Tensor:
        """units (B, L), mask (B, L) -> durations (B, L), at least 1."""
        if units.shape[1] == 0:
            return units
        expected = self.expected_durations(units, mask)
        return self.round_durations(expected, expected.new_zeros(len(expected), 1))[0]


def zero_outside(x: Tensor, mask: Tensor | None) -> Tensor:
    """Set x (B, C, ..., T) to zero where mask (B, 1, ..., T) is false, as padding shows a sequence's end."""
    return x if mask is None else x.masked_fill(~mask, 0.0)


def inverse_stft(spectrum: Tensor, hop: int, mask: Tensor | None) -> Tensor:
    """Overlap-add Hann windows of 4 * hop samples.

    spectrum (B, T, 4 * hop + 2), mask (B, 1, T) -> (B, T * hop). The first half of a frame is the natural
    logarithm of the magnitude, the second half the phase.
    """
    size = 4 * hop
    log_magnitude, phase = spectrum.float().chunk(2, dim=2)
    window = torch.hann_window(size, device=spectrum.device)
    # No waveform within [-1, 1] has a magnitude above the sum of the window, which is 2 * hop.
    magnitude = log_magnitude.clamp(max=math.log(2 * hop)).exp()
    bins = torch.complex(magnitude * phase.cos(), magnitude * phase.sin())
    frames = torch.fft.irfft(bins, n=size, dim=2) * window
    weight = (window**2).expand(1, frames.shape[1], -1)
    if mask is not None:
        frames, weight = frames * mask.transpose(1, 2), weight * mask.transpose(1, 2)
    # The 1e-8 only matters past the end of a sequence, where both are zero.
    return _overlap_add(frames, hop) / (_overlap_add(weight, hop) + 1e-8)


def _overlap_add(frames: Tensor, hop: int) -> Tensor:
    """Add frames (B, T, 4 * hop) at every hop, cut to their middle -> (B, T * hop)."""
    batch, count, size = frames.shape
    added = frames.new_zeros(batch, count + size // hop - 1, hop)
    for start, part in enumerate(frames.split(hop, dim=2)):
        added[:, start : start + count] += part
    start = (size - hop) // 2
    return added.flatten(1)[:, start : start + count * hop]


def _runs(units: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Reduce a padded batch: units (B, T), lengths (B,) -> reduced (B, T), durations (B, T), zero past the end."""
    position = torch.arange(units.shape[1], device=units.device)
    inside = position < lengths.unsqueeze(1)
    starts = F.pad(units[:, 1:] != units[:, :-1], (1, 0), value=True) & inside
    run = (starts.long().cumsum(1) - 1).clamp(min=0)
    reduced = torch.zeros_like(units).scatter_add(1, run, units * starts)
    return reduced, torch.zeros_like(units).scatter_add(1, run, inside.to(units.dtype))


def _embedding(count: int, width: int) -> nn.Embedding | None:
    return nn.Embedding(count, width) if count else None
