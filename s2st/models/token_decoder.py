"""A Transformer decoder with its tokens: embedding, positions, layers, and an output tied to the embedding.

Several tokens may make a step (stacked units): they enter side by side, and leave side by side, both through a
projection, as in fairseq's TransformerUnitDecoder (fairseq/models/speech_to_speech/s2s_transformer.py).

Shapes: B batch, T steps, R tokens a step, D model width, V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.models.decoder_cache import DecoderCache
from s2st.models.dropout import Dropout
from s2st.models.transformer import Decoder, TransformerConfig, sinusoidal_positions, take_positions
from s2st.units import PAD


class TokenDecoder(nn.Module):
    positions: Tensor

    def __init__(
        self,
        config: TransformerConfig,
        vocabulary_size: int,
        max_steps: int,
        memory_dim: int,
        tokens_per_step: int = 1,
    ) -> None:
        """`memory_dim` is the width of an encoder's output, 0 if there is none."""
        super().__init__()
        self.tokens_per_step, dim = tokens_per_step, config.model_dim
        self.scale = dim**0.5
        self.embed_tokens = nn.Embedding(vocabulary_size, dim, padding_idx=PAD)
        nn.init.normal_(self.embed_tokens.weight, std=dim**-0.5)
        nn.init.zeros_(self.embed_tokens.weight[PAD])
        self.decoder = Decoder(config, memory_dim)
        self.dropout = Dropout(config.dropout)
        if tokens_per_step > 1:
            self.project_in = nn.Linear(tokens_per_step * dim, dim, bias=False)
            self.project_out = nn.Linear(dim, tokens_per_step * dim, bias=False)
            for projection in (self.project_in, self.project_out):
                nn.init.xavier_uniform_(projection.weight)
        self.register_buffer("positions", sinusoidal_positions(max_steps, dim), persistent=False)

    def start(self, memory: Tensor, memory_mask: Tensor | None) -> DecoderCache:
        """Open a cache on an encoder's output (B, S, memory_dim); memory_mask (B, 1, 1, S)."""
        return self.decoder.start(memory, memory_mask)

    def forward(self, tokens: Tensor, cache: DecoderCache, states: list[Tensor] | None = None) -> Tensor:
        """Read tokens (B, T * R) after those the cache holds -> logits (B, T * R, V) of the tokens one step later.

        The embedding and the output of each layer, (B, T, D) each, are appended to `states`.
        """
        x = self._embed(tokens, cache.length)
        if states is not None:
            states.append(x)
        x = self.decoder(x, cache, states)
        if self.tokens_per_step > 1:
            x = self.project_out(x).view(*tokens.shape, -1)
        return functional.linear(x, self.embed_tokens.weight)

    def _embed(self, tokens: Tensor, first: int) -> Tensor:
        x = self.embed_tokens(tokens)
        if self.tokens_per_step > 1:
            x = self.project_in(x.view(len(x), -1, x.size(2) * self.tokens_per_step))
        return self.dropout(x * self.scale + take_positions(self.positions, first, x.size(1)))


def teacher_forced(labels: Tensor, beginnings: Tensor, tokens_per_step: int = 1) -> Tensor:
    """What a decoder reads to predict labels (B, L): their beginning (B,), in all places of a step, then all but one.

    L is one more than a multiple R * (T - 1) of the tokens a step -> (B, R * T).
    """
    return torch.cat([beginnings[:, None].expand(-1, tokens_per_step), labels[:, :-1]], 1)
