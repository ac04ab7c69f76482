"""Transformer encoder and decoder layers (Vaswani et al. 2017), named as fairseq names them.

The decoder always works through a cache: training feeds it the whole target at once, decoding a token at a
time, and both run the same lines.

Shapes: B batch, N sentences, S source length, T target length, D model width, H heads.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.models.decoder_cache import DecoderCache, KeysValues
from s2st.models.dropout import Dropout
from s2st.units import PAD

FIRST_POSITION = PAD + 1  # fairseq numbers positions after the padding symbol


@dataclass(frozen=True)
class TransformerConfig:
    num_layers: int = 12  # in the encoder, and again in the decoder
    model_dim: int = 512  # D
    num_heads: int = 8
    ffn_dim: int = 2048
    dropout: float = 0.1  # on embeddings and on what each sublayer adds
    attention_dropout: float = 0.0  # on attention weights; above 0 the fused CPU kernel is lost
    activation_dropout: float = 0.0  # inside the feed-forward sublayer
    activation: Literal["relu", "gelu"] = "relu"
    pre_ln: bool = False  # layer norm before each sublayer and at the end, instead of after each

    def __post_init__(self) -> None:
        if self.model_dim % self.num_heads:
            raise ValueError(f"model_dim {self.model_dim} must be a multiple of num_heads {self.num_heads}")


class Attention(nn.Module):
    """Multi-head attention; keys and values are projected apart, so that a decoder can keep them."""

    def __init__(self, config: TransformerConfig, memory_dim: int | None = None) -> None:
        """`memory_dim` is the width of what is attended to, where it is not D."""
        super().__init__()
        dim, memory_dim = config.model_dim, memory_dim or config.model_dim
        self.num_heads, self.dropout = config.num_heads, config.attention_dropout
        self.q_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.k_proj, self.v_proj = nn.Linear(memory_dim, dim), nn.Linear(memory_dim, dim)
        gain = 2**-0.5 if memory_dim == dim else 1.0  # as one (3D, D) matrix would be, where it can be one
        for projection in (self.q_proj, self.k_proj, self.v_proj):
            nn.init.xavier_uniform_(projection.weight, gain=gain)
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def keys_values(self, x: Tensor) -> KeysValues:
        """x (B, S, D or memory_dim) -> keys and values, each (B, H, S, D / H)."""
        return self._split(self.k_proj(x)), self._split(self.v_proj(x))

    def forward(self, x: Tensor, keys_values: KeysValues, mask: Tensor | None = None, causal: bool = False) -> Tensor:
        """Queries x (B, T, D) -> (B, T, D); mask (B, 1, 1 or T, S) is True where a key may be seen."""
        queries, (keys, values) = self._split(self.q_proj(x)), keys_values
        dropout = self.dropout if self.training else 0.0
        with torch.autocast("cpu", enabled=False):
            heads = functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, causal)
        return self.out_proj(heads.transpose(1, 2).flatten(2).to(x.dtype))

    def weights(self, x: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """Share of its attention that each query gives to each key, mean over heads: x (B, T, D) -> (B, T, S)."""
        scores = self._split(self.q_proj(x)) @ keys.transpose(2, 3) * keys.size(3) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return scores.float().softmax(3).mean(1)

    def _split(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":  # its fused kernel is much slower backward in bf16: 11 times at 18 tokens
            x = x.float()
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class EncoderLayer(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre_ln, self.activation = config.pre_ln, getattr(functional, config.activation)
        self.self_attn = Attention(config)
        self.self_attn_layer_norm = nn.LayerNorm(config.model_dim)
        self.fc1 = nn.Linear(config.model_dim, config.ffn_dim)
        self.fc2 = nn.Linear(config.ffn_dim, config.model_dim)
        self.final_layer_norm = nn.LayerNorm(config.model_dim)
        self.dropout = Dropout(config.dropout)
        self.activation_dropout = Dropout(config.activation_dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, S, D) -> (B, S, D); mask (B, 1, 1, S)."""
        inside = self.enter(self.self_attn_layer_norm, x)
        attended = self.self_attn(inside, self.self_attn.keys_values(inside), mask)
        return self.feed_forward(self.leave(self.self_attn_layer_norm, x, attended))

    def feed_forward(self, x: Tensor) -> Tensor:
        hidden = self.activation(self.fc1(self.enter(self.final_layer_norm, x)))
        return self.leave(self.final_layer_norm, x, self.fc2(self.activation_dropout(hidden)))

    def enter(self, norm: nn.LayerNorm, x: Tensor) -> Tensor:
        """Go from the residual stream into a sublayer."""
        return norm(x) if self.pre_ln else x

    def leave(self, norm: nn.LayerNorm, x: Tensor, update: Tensor) -> Tensor:
        """Add what a sublayer found to the residual stream."""
        x = x + self.dropout(update)
        return x if self.pre_ln else norm(x)


class DecoderLayer(EncoderLayer):
    def __init__(self, config: TransformerConfig, memory_dim: int | None = None) -> None:
        super().__init__(config)
        if memory_dim != 0:
            self.encoder_attn = Attention(config, memory_dim)
            self.encoder_attn_layer_norm = nn.LayerNorm(config.model_dim)

    def forward(  # type: ignore[override]
        self, x: Tensor, cache: DecoderCache, layer: int, alignment: list[Tensor] | None = None
    ) -> Tensor:
        """x (N, T, D) -> (N, T, D): positions of one beam, or one position of T beams; the cache's layer keeps them.

        The attention to the memory, (N, T, S), is appended to `alignment`; without memory, as in a language model,
        there is none.
        """
        inside = self.enter(self.self_attn_layer_norm, x)
        keys_values, mask = cache.extend(layer, *self.self_attn.keys_values(inside))
        attended = self.self_attn(inside, keys_values, mask, causal=mask is None)
        x = self.leave(self.self_attn_layer_norm, x, attended)
        if not cache.memory:
            return self.feed_forward(x)

        inside = self.enter(self.encoder_attn_layer_norm, x)
        attended = self.encoder_attn(inside, cache.memory[layer], cache.memory_mask)
        if alignment is not None:
            alignment.append(self.encoder_attn.weights(inside, cache.memory[layer][0], cache.memory_mask))
        return self.feed_forward(self.leave(self.encoder_attn_layer_norm, x, attended))


class Encoder(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.layer_norm = nn.LayerNorm(config.model_dim) if config.pre_ln else nn.Identity()

    def forward(self, x: Tensor, mask: Tensor | None, states: list[Tensor] | None = None) -> Tensor:
        """x (B, S, D) -> (B, S, D); mask (B, 1, 1, S) is True at true positions, None if all are.

        The output of each layer, without the last norm, is appended to `states`.
        """
        for layer in self.layers:
            x = layer(x, mask)
            if states is not None:
                states.append(x)
        return self.layer_norm(x)


class Decoder(nn.Module):
    def __init__(self, config: TransformerConfig, memory_dim: int | None = None) -> None:
        """`memory_dim` is the width of the encoder's output, where it is not D; 0: there is no encoder."""
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config, memory_dim) for _ in range(config.num_layers))
        self.layer_norm = nn.LayerNorm(config.model_dim) if config.pre_ln else nn.Identity()

    def start(self, memory: Tensor, memory_mask: Tensor | None) -> DecoderCache:
        """Open a cache on an encoder's output (N, S, D or memory_dim)."""
        keys_values = [layer.encoder_attn.keys_values(memory) for layer in self.layers]  # type: ignore
        return DecoderCache(len(memory), keys_values, memory_mask)

    def forward(
        self,
        x: Tensor,
        cache: DecoderCache,
        states: list[Tensor] | None = None,
        alignment: list[Tensor] | None = None,
    ) -> Tensor:
        """Read x (B, T, D) after what the cache holds, and add it there -> (B, T, D).

        A row is a beam; T is 1 in all steps but the first. Beams of a sentence become queries over what it has once.
        The output of each layer, without the last norm, is appended to `states`; the attention of the last layer
        to the memory of its sentence, (N, queries, S), to `alignment`.
        """
        queries = x.reshape(cache.num_sentences, -1, x.size(2))
        cache.advance(queries.size(1), x.device)
        for i, layer in enumerate(self.layers):
            queries = layer(queries, cache, i, alignment if i == len(self.layers) - 1 else None)
            if states is not None:
                states.append(queries.view_as(x))
        return self.layer_norm(queries).view_as(x)


def store_by_columns(model: nn.Module) -> None:
    """Store the weights of linear layers column by column: CPUs multiply few rows, as in decoding, faster so.

    The values stay; a tenth to a third of the time goes at 5 to 160 rows.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.t().contiguous().t()


def padding_mask(lengths: Tensor, size: int) -> Tensor:
    """lengths (B,) -> attention mask (B, 1, 1, size), True at true positions."""
    return (torch.arange(size, device=lengths.device) < lengths[:, None])[:, None, None]


def sinusoidal_positions(num_positions: int, dim: int) -> Tensor:
    """Positions (num_positions, dim): sines in one half, cosines in the other, as fairseq has and numbers them."""
    half = dim // 2
    frequencies = torch.exp(torch.arange(half) * (-math.log(10_000) / (half - 1)))
    angles = torch.arange(FIRST_POSITION, FIRST_POSITION + num_positions)[:, None] * frequencies
    return functional.pad(torch.cat([angles.sin(), angles.cos()], dim=1), (0, dim % 2))


def take_positions(positions: Tensor, first: int, count: int) -> Tensor:
    """Take `count` of positions (P, D) from `first` on -> (count, D); raises ValueError if there are not so many."""
    last = first + count
    if last > len(positions):
        raise ValueError(
            f"a sequence of {last} is longer than the model's {len(positions)} positions; cut it, or train with more"
        )
    return positions[first:last]
