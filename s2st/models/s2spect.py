"""S2SPECT: source filterbank -> target log-mel spectrogram by Transformers (Jia et al. 2019; Lee et al. 2021).

Same function as fairseq's s2spect_transformer: the encoder of its speech-to-speech models and the decoder of its
Transformer TTS (fairseq/models/text_to_speech/tts_transformer.py).

Shapes: B batch, N frames and features of the source, S states, T steps of the target, F = r M of r frames each.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from s2st.features.speech_mel import NUM_MELS
from s2st.models.decoder_cache import DecoderCache
from s2st.models.dropout import Dropout
from s2st.models.spectrogram_decoding import Postnet, PostnetConfig, Prenet, SpectrogramModel
from s2st.models.speech_source import SpeechSource, SpeechSourceConfig
from s2st.models.transformer import Decoder, TransformerConfig, padding_mask, sinusoidal_positions, take_positions


@dataclass(frozen=True)
class SpectrogramSourceConfig(SpeechSourceConfig):
    deltas: bool = True


@dataclass(frozen=True)
class SpectrogramDecoderConfig(TransformerConfig):
    num_layers: int = 6
    num_heads: int = 4
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    pre_ln: bool = True
    prenet_layers: int = 2
    prenet_dim: int = 32
    prenet_dropout: float = 0.5  # never off
    max_steps: int = 1200  # longest target


@dataclass(frozen=True)
class S2SpectConfig:
    """As made: s2spect_transformer_fisher."""

    source: SpectrogramSourceConfig = field(default_factory=SpectrogramSourceConfig)
    decoder: SpectrogramDecoderConfig = field(default_factory=SpectrogramDecoderConfig)
    postnet: PostnetConfig = field(default_factory=PostnetConfig)
    frames_per_step: int = 5  # r

    @property
    def deltas(self) -> bool:
        return self.source.deltas

    @property
    def max_source_frames(self) -> int:
        return self.source.max_frames

    @property
    def max_steps(self) -> int:
        return self.decoder.max_steps


@dataclass
class DecoderState:
    """Where a decoder is in its sources."""

    cache: DecoderCache
    state_lengths: Tensor  # (B,)


class S2Spect(SpectrogramModel):
    config: S2SpectConfig
    positions: Tensor

    def __init__(self, config: S2SpectConfig) -> None:
        super().__init__()
        self.config = config
        decoder, dim = config.decoder, config.frames_per_step * NUM_MELS
        self.source = SpeechSource(config.source)
        self.prenet = Prenet(dim, decoder.prenet_dim, decoder.prenet_layers, decoder.prenet_dropout)
        self.prenet_projection = nn.Linear(decoder.prenet_dim, decoder.model_dim)
        self.position_scale = nn.Parameter(torch.ones(1))
        self.dropout = Dropout(decoder.dropout)
        self.decoder = Decoder(decoder, config.source.model_dim)
        self.frames = nn.Linear(decoder.model_dim, dim)
        self.stop = nn.Linear(decoder.model_dim, 1)
        self.postnet = Postnet(config.postnet, dim)
        positions = sinusoidal_positions(decoder.max_steps, decoder.model_dim)
        self.register_buffer("positions", positions, persistent=False)

    def start(self, source: Tensor, source_lengths: Tensor) -> DecoderState:
        """Encode sources (B, N, features) of source_lengths (B,), and open a decoder on them."""
        memory, lengths = self.source(source, source_lengths)
        return DecoderState(self.decoder.start(memory, padding_mask(lengths, memory.size(1))), lengths)

    def decode(
        self, said: Tensor, state: DecoderState, random: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Hear steps (B, T, F) and say what comes after each; see SpectrogramModel.

        Raises ValueError for a target of more than max_steps.
        """
        positions = take_positions(self.positions, state.cache.length, said.size(1))
        x = self.prenet_projection(self.prenet(said, random)) + self.position_scale * positions
        alignment: list[Tensor] = []
        x = self.decoder(self.dropout(x), state.cache, alignment=alignment)
        return self.frames(x), self.stop(x).squeeze(2), alignment[0]
