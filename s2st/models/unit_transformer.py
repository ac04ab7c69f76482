"""Unit Transformer: source units -> target units, many languages to many (UTUT, Kim et al. 2023).

The encoder reads `<s> units </s> [source language]`. The decoder begins with the symbol of the target
language and ends on it. Without languages it is fairseq's `transformer` for one direction, and with learned positions
and a norm on embeddings its BART. Weights of layers are named as in fairseq; s2st/fairseq/translators.py has the rest.

Shapes: B batch, S source length, T target length, D model width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.models.decoder_cache import DecoderCache
from s2st.models.dropout import Dropout
from s2st.models.label_smoothing import label_smoothed_loss
from s2st.models.transformer import (
    Decoder,
    Encoder,
    TransformerConfig,
    padding_mask,
    sinusoidal_positions,
    take_positions,
)
from s2st.units import PAD, UnitVocabulary


@dataclass(frozen=True)
class UnitTransformerConfig(TransformerConfig):
    num_units: int = 1000  # codebook size K; special, merged and language symbols come on top
    languages: tuple[str, ...] = ()  # in the order of their symbols
    merges: tuple[tuple[int, int], ...] = ()  # byte-pair merges of units; see UnitVocabulary
    share_all_embeddings: bool = True  # False: sources have their own; targets share input and output
    max_positions: int = 3000  # longest source or target, in tokens
    label_smoothing: float = 0.1
    positions: Literal["sinusoidal", "learned"] = "sinusoidal"  # learned: those of source and target apart
    embedding_norm: bool = False  # layer norm on the sum of embedding and position
    scale_embeddings: bool = True  # by sqrt(D)
    bart_targets: bool = False  # targets are `[lang] <s> units </s> [lang]`, as in the pre-training of mBART and UTUT

    @property
    def vocabulary(self) -> UnitVocabulary:
        return UnitVocabulary(self.num_units, self.languages, self.merges, self.bart_targets)


class InputLayer(nn.Module):
    """From embedded tokens of one side to what its first layer reads: positions, norm and dropout."""

    positions: Tensor

    def __init__(self, config: UnitTransformerConfig) -> None:
        super().__init__()
        self.scale = config.model_dim**0.5 if config.scale_embeddings else 1.0
        if config.positions == "learned":
            self.positions = nn.Parameter(torch.empty(config.max_positions, config.model_dim))
            nn.init.normal_(self.positions, std=config.model_dim**-0.5)
        else:
            positions = sinusoidal_positions(config.max_positions, config.model_dim)
            self.register_buffer("positions", positions, persistent=False)
        self.norm = nn.LayerNorm(config.model_dim) if config.embedding_norm else nn.Identity()
        self.dropout = Dropout(config.dropout)

    def forward(self, embedded: Tensor, first: int) -> Tensor:
        """embedded (B, T, D) of the tokens at positions first, first + 1, ... -> (B, T, D)."""
        positions = take_positions(self.positions, first, embedded.size(1))
        return self.dropout(self.norm(embedded * self.scale + positions))


class UnitTransformer(nn.Module):
    def __init__(self, config: UnitTransformerConfig) -> None:
        super().__init__()
        self.config, self.vocabulary = config, config.vocabulary
        self.embed_tokens = self._embedding()
        self.source_embed_tokens = self.embed_tokens if config.share_all_embeddings else self._embedding()
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.source_input, self.target_input = InputLayer(config), InputLayer(config)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Teacher-forced logits of what follows each token of the target but its last.

        source (B, S), source_lengths (B,), target (B, T + 1) of padded `target_tokens` -> (B, T, V).
        """
        return self.decode(target[:, :-1], self.start(source, source_lengths))

    def start(self, source: Tensor, source_lengths: Tensor) -> DecoderCache:
        """Encode sources (B, S) of source_lengths (B,), and open a decoder on them."""
        mask = padding_mask(source_lengths, source.size(1))
        embedded = self.source_input(self.source_embed_tokens(source), 0)
        return self.decoder.start(self.encoder(embedded, mask), mask)

    def decode(self, tokens: Tensor, cache: DecoderCache) -> Tensor:
        """Read tokens (B, T) after those the cache holds -> logits (B, T, V) of the token after each."""
        x = self.decoder(self.target_input(self.embed_tokens(tokens), cache.length), cache)
        return functional.linear(x, self.embed_tokens.weight)

    def loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Label-smoothed cross-entropy a token, and {nll, accuracy, tokens}; padding does not count.

        logits (B, T, V) of `forward`, target (B, T + 1).
        """
        return label_smoothed_loss(logits, target[:, 1:], self.config.label_smoothing)

    def _embedding(self) -> nn.Embedding:
        embedding = nn.Embedding(self.vocabulary.size, self.config.model_dim, padding_idx=PAD)
        nn.init.normal_(embedding.weight, std=self.config.model_dim**-0.5)
        nn.init.zeros_(embedding.weight[PAD])
        return embedding


def grow(model: UnitTransformer, languages: Sequence[str]) -> UnitTransformer:
    """Copy a model, with symbols of further languages after its own; what it says of the others stays as it was.

    Their rows of the embedding are made as those of a new model. Raises ValueError for a language it has already.
    """
    assert model.config.languages or not languages, "a plain model has no symbols of languages"
    grown = UnitTransformer(replace(model.config, languages=(*model.config.languages, *languages)))
    state, new = model.state_dict(), grown.state_dict()
    for name in ("embed_tokens.weight", "source_embed_tokens.weight"):
        last = len(state[name]) - 1
        new[name][:last], new[name][-1] = state[name][:last], state[name][last]  # <mask> stays the last
        state[name] = new[name]
    grown.load_state_dict(state)
    return grown.train(model.training)


def pad_tokens(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Stack B sequences of token ids -> tokens (B, longest), padded on the right, and lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    tokens = torch.full((len(sequences), int(lengths.max())), PAD)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = torch.from_numpy(sequence)
    return tokens, lengths
