"""The encoder of fairseq's speech-to-speech models: filterbank -> two strided convolutions -> Transformer.

Same function as S2STransformerEncoder (fairseq/models/speech_to_speech/s2s_transformer.py), except that padded batches
equal single utterances.

Shapes: B batch, T frames of the filterbank, S = ceil(T / 4) frames of the encoder, F features, D model width.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from s2st.features.filterbank import NUM_BANDS
from s2st.models.dropout import Dropout
from s2st.models.gated_convolutions import STRIDE, GatedConvolutions
from s2st.models.transformer import Encoder, TransformerConfig, padding_mask, sinusoidal_positions, take_positions

KERNEL = 5  # of both convolutions
FRAMES_PER_STATE = STRIDE**2


@dataclass(frozen=True)
class SpeechSourceConfig(TransformerConfig):
    """As made: that of s2ut_transformer_fisher and s2spect_transformer_fisher (Lee et al. 2021)."""

    model_dim: int = 256
    num_heads: int = 4
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    pre_ln: bool = True
    deltas: bool = False  # hears the slopes of the filterbank, too
    conv_dim: int = 1024  # of the first convolution, halved by its gate
    max_frames: int = 6000  # longest source: a minute

    @property
    def num_features(self) -> int:
        return NUM_BANDS * (3 if self.deltas else 1)


class SpeechSource(nn.Module):
    positions: Tensor

    def __init__(self, config: SpeechSourceConfig) -> None:
        super().__init__()
        self.config = config
        dims = (config.conv_dim // 2, config.model_dim)
        self.convolutions = GatedConvolutions(config.num_features, dims, KERNEL)
        self.encoder = Encoder(config)
        self.dropout = Dropout(config.dropout)
        positions = sinusoidal_positions(state_count(config.max_frames), config.model_dim)
        self.register_buffer("positions", positions, persistent=False)

    def forward(self, features: Tensor, lengths: Tensor, states: list[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """features (B, T, F), lengths (B,) -> (B, S, D) and the lengths of its rows (B,).

        The output of each layer, without the last norm, is appended to `states`. Raises ValueError if T is more than
        max_frames.
        """
        x, lengths = self.convolutions(features, lengths)
        x = self.dropout(x * self.config.model_dim**0.5 + take_positions(self.positions, 0, x.size(1)))
        return self.encoder(x, padding_mask(lengths, x.size(1)), states), lengths

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Frames of 10 ms of sources of such lengths (B,)."""
        return lengths


def state_count(num_frames: int) -> int:
    """Count the encoder's frames for so many of the filterbank."""
    return -(-num_frames // FRAMES_PER_STATE)
