"""Unit language model: it says which reduced unit of speech follows those before (GSLM, Lakhotia et al. 2021).

A decoder without an encoder, as made fairseq's `transformer_lm_big` with shared embeddings, which the ULM of
examples/textless_nlp/gslm/ulm is. A sequence is `</s> units </s>`: the end of one utterance begins the next.

Shapes: B batch, T tokens, V vocabulary.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from s2st.models.decoder_cache import DecoderCache
from s2st.models.label_smoothing import label_smoothed_loss
from s2st.models.token_decoder import TokenDecoder
from s2st.models.transformer import TransformerConfig
from s2st.units import UnitVocabulary


@dataclass(frozen=True)
class UnitLmConfig(TransformerConfig):
    model_dim: int = 1024
    num_heads: int = 16
    ffn_dim: int = 4096
    attention_dropout: float = 0.1
    pre_ln: bool = True  # fairseq's language models have nothing else
    num_units: int = 100  # codebook size K; special symbols come on top
    max_positions: int = 3072  # longest utterance, in reduced units and one more

    @property
    def vocabulary(self) -> UnitVocabulary:
        return UnitVocabulary(self.num_units, languages=())


class UnitLm(nn.Module):
    def __init__(self, config: UnitLmConfig) -> None:
        super().__init__()
        self.config, self.vocabulary = config, config.vocabulary
        self.decoder = TokenDecoder(config, self.vocabulary.size, config.max_positions, memory_dim=0)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits of what follows each token but the last: tokens (B, T + 1), padded on the right -> (B, T, V)."""
        return self.decode(tokens[:, :-1], self.start(len(tokens)))

    def start(self, num_sequences: int) -> DecoderCache:
        """Open a cache for so many sequences."""
        return DecoderCache(num_sequences, [], None)

    def decode(self, tokens: Tensor, cache: DecoderCache) -> Tensor:
        """Read tokens (B, T) after those the cache holds -> logits (B, T, V) of the token after each."""
        return self.decoder(tokens, cache)

    def loss(self, logits: Tensor, tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy a token in nats, and {nll, accuracy, tokens}; padding does not count.

        logits (B, T, V) of `forward`, tokens (B, T + 1).
        """
        return label_smoothed_loss(logits, tokens[:, 1:], 0.0)
