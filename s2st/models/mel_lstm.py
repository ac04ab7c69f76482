"""Mel LSTM: source filterbank -> target log-mel spectrogram by LSTMs with attention, the simplest direct model.

The encoder runs along the frequencies of each frame (Li et al. 2016, exploring multidimensional LSTMs), then along
time, halving it as a pyramid (Chan et al. 2015). The decoder is Tacotron 2's (Shen et al. 2018): attention that knows
where it has been (Chorowski et al. 2015), between two LSTM cells.

Shapes: B batch, N frames of the source, S states, T steps of the target, F = r M of r frames each, D encoder width.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2st.features.filterbank import NUM_BANDS
from s2st.features.speech_mel import NUM_MELS
from s2st.models.dropout import Dropout
from s2st.models.spectrogram_decoding import Postnet, PostnetConfig, Prenet, SpectrogramModel
from s2st.models.transformer import padding_mask

# Inside, the spectrogram is brought near mean 0 and deviation 1 by what speech has, roughly.
MEL_MEAN, MEL_DEVIATION = -5.5, 2.5


@dataclass(frozen=True)
class MelLstmConfig:
    frames_per_step: int = 5  # r
    band_window: int = 8  # bands that the LSTM along frequencies hears at once
    band_stride: int = 4
    band_dim: int = 16  # of each of its directions
    encoder_dim: int = 256  # D, both directions of the LSTMs along time
    encoder_layers: int = 3
    reductions: int = 2  # after each of so many layers, two frames become one
    attention_dim: int = 128
    location_filters: int = 32
    location_kernel: int = 31
    decoder_dim: int = 512
    prenet_layers: int = 2
    prenet_dim: int = 128
    prenet_dropout: float = 0.5  # never off
    dropout: float = 0.1  # on what LSTMs say
    postnet: PostnetConfig | None = None
    max_source_frames: int = 6000
    max_steps: int = 1200

    deltas: ClassVar[bool] = False  # of the source's features

    def __post_init__(self) -> None:
        if self.encoder_dim % 2 or self.location_kernel % 2 == 0:
            raise ValueError("encoder_dim must be even, for two directions, and location_kernel odd")
        if not 0 <= self.reductions < self.encoder_layers:
            raise ValueError(f"reductions={self.reductions} must be below encoder_layers={self.encoder_layers}")


@dataclass
class DecoderState:
    """What the decoder knows of its sources and of what it said."""

    memory: Tensor  # (B, S, D)
    keys: Tensor  # (B, S, attention_dim)
    mask: Tensor  # (B, S), True at true states
    state_lengths: Tensor  # (B,)
    attention: Tensor  # (B, S), of the step before
    heard: Tensor  # (B, S), sum of the attention of all steps
    context: Tensor  # (B, D)
    first: tuple[Tensor, Tensor]  # of the LSTM cell before the attention: output and cell (B, decoder_dim)
    second: tuple[Tensor, Tensor]  # ... after it


class MelLstm(SpectrogramModel):
    config: MelLstmConfig

    def __init__(self, config: MelLstmConfig) -> None:
        super().__init__()
        self.config = config
        dim, width, frames = config.encoder_dim, config.decoder_dim, config.frames_per_step * NUM_MELS
        self.encoder = TimeFrequencyEncoder(config)
        self.keys = nn.Linear(dim, config.attention_dim, bias=False)
        self.query = nn.Linear(width, config.attention_dim)
        self.location = nn.Sequential(
            nn.Conv1d(2, config.location_filters, config.location_kernel, padding=config.location_kernel // 2),
            nn.Conv1d(config.location_filters, config.attention_dim, 1, bias=False),
        )
        self.energy = nn.Linear(config.attention_dim, 1, bias=False)
        self.prenet = Prenet(frames, config.prenet_dim, config.prenet_layers, config.prenet_dropout)
        self.first = nn.LSTMCell(config.prenet_dim + dim, width)
        self.second = nn.LSTMCell(width + dim, width)
        self.dropout = Dropout(config.dropout)
        self.frames = nn.Linear(width + dim, frames)
        self.stop = nn.Linear(width + dim, 1)
        self.postnet = None if config.postnet is None else Postnet(config.postnet, frames)

    def start(self, source: Tensor, source_lengths: Tensor) -> DecoderState:
        """Encode sources (B, N, 80) of source_lengths (B,), and open a decoder on them."""
        memory, lengths = self.encoder(source, source_lengths)
        nothing = memory.new_zeros(len(memory), self.config.decoder_dim)
        return DecoderState(
            memory,
            self.keys(memory),
            padding_mask(lengths, memory.size(1))[:, 0, 0],
            lengths,
            attention=memory.new_zeros(memory.shape[:2]),
            heard=memory.new_zeros(memory.shape[:2]),
            context=memory.new_zeros(len(memory), memory.size(2)),
            first=(nothing, nothing),
            second=(nothing, nothing),
        )

    def decode(
        self, said: Tensor, state: DecoderState, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hear steps (B, T, F) and say what comes after each; see SpectrogramModel."""
        heard = self.prenet((said - MEL_MEAN) / MEL_DEVIATION, random).unbind(1)
        outputs, attentions = zip(*((self._advance(step, state), state.attention) for step in heard), strict=True)
        output = torch.stack(outputs, 1)
        frames = self.frames(output) * MEL_DEVIATION + MEL_MEAN
        return frames, self.stop(output).squeeze(2), torch.stack(attentions, 1)

    def _advance(self, heard: Tensor, state: DecoderState) -> Tensor:
        """Go a step on, changing the state: heard (B, prenet_dim) -> output (B, decoder_dim + D)."""
        state.first = self.first(torch.cat([heard, state.context], 1), state.first)
        query = self.dropout(state.first[0])
        places = self.location(torch.stack([state.attention, state.heard], 1)).transpose(1, 2)
        energies = self.energy(torch.tanh(self.query(query).unsqueeze(1) + state.keys + places)).squeeze(2)
        state.attention = energies.float().masked_fill(~state.mask, -torch.inf).softmax(1)
        state.heard = state.heard + state.attention
        state.context = (state.attention.unsqueeze(1) @ state.memory.float()).squeeze(1)
        state.second = self.second(torch.cat([query, state.context], 1), state.second)
        return torch.cat([self.dropout(state.second[0]), state.context], 1)


class TimeFrequencyEncoder(nn.Module):
    """LSTMs in both directions along the bands of each frame, then along time."""

    def __init__(self, config: MelLstmConfig) -> None:
        super().__init__()
        self.config = config
        windows = (NUM_BANDS - config.band_window) // config.band_stride + 1
        self.bands = nn.LSTM(config.band_window, config.band_dim, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(windows * 2 * config.band_dim, config.encoder_dim)
        dim = config.encoder_dim
        self.layers = nn.ModuleList(
            nn.LSTM(2 * dim if self._halves(i) else dim, dim // 2, bidirectional=True, batch_first=True)
            for i in range(config.encoder_layers)
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, source: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """source (B, N, 80), lengths (B,) -> (B, S, D) and the lengths of its rows (B,)."""
        x = self._hear_bands(source, lengths)
        for i, layer in enumerate(self.layers):
            if self._halves(i):
                x, lengths = _in_pairs(x), (lengths + 1) // 2
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            x, _ = pad_packed_sequence(layer(packed)[0], batch_first=True, total_length=x.size(1))
            x = self.dropout(x)
        return x, lengths

    def _halves(self, layer: int) -> bool:
        """Tell whether a layer hears two frames as one."""
        return 0 < layer <= self.config.reductions

    def _hear_bands(self, source: Tensor, lengths: Tensor) -> Tensor:
        """(B, N, 80) -> (B, N, D), zero where there is padding."""
        true = padding_mask(lengths, source.size(1))[:, 0, 0]
        windows = source[true].unfold(1, self.config.band_window, self.config.band_stride)
        frames = self.projection(self.bands(windows)[0].flatten(1))
        return frames.new_zeros(*true.shape, frames.size(1)).masked_scatter(true.unsqueeze(2), frames)


def _in_pairs(x: Tensor) -> Tensor:
    """Put two frames beside each other: (B, N, D) -> (B, ceil(N / 2), 2 D)."""
    x = nn.functional.pad(x, (0, 0, 0, x.size(1) % 2))
    return x.reshape(len(x), -1, 2 * x.size(2))
