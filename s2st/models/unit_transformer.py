"""Unit Transformer: source units -> target units, many languages to many (UTUT, Kim et al. 2023).

The encoder reads `<s> units </s> [source language]`. The decoder begins with the symbol of the target
language and ends on it. Weights are named as in fairseq's transformer, save `source_embed_tokens` (there
`encoder.embed_tokens`) and `embed_tokens` (there `decoder.embed_tokens` and `decoder.output_projection`).

Shapes: B batch, S source length, T target length, D model width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from s2st.models.transformer import (
    Decoder,
    DecoderCache,
    Encoder,
    TransformerConfig,
    padding_mask,
    sinusoidal_positions,
)
from s2st.units import PAD, UnitVocabulary

FIRST_POSITION = PAD + 1  # fairseq numbers positions after the padding symbol


@dataclass(frozen=True)
class UnitTransformerConfig(TransformerConfig):
    num_units: int = 1000  # codebook size K; special, merged and language symbols come on top
    languages: tuple[str, ...] = ()  # in the order of their symbols
    merges: tuple[tuple[int, int], ...] = ()  # byte-pair merges of units; see UnitVocabulary
    share_all_embeddings: bool = True  # False: sources have their own; targets share input and output
    max_positions: int = 3000  # longest source or target, in tokens
    label_smoothing: float = 0.1

    @property
    def vocabulary(self) -> UnitVocabulary:
        return UnitVocabulary(self.num_units, self.languages, self.merges)


class UnitTransformer(nn.Module):
    positions: Tensor

    def __init__(self, config: UnitTransformerConfig) -> None:
        super().__init__()
        self.config, self.vocabulary = config, config.vocabulary
        self.embed_tokens = self._embedding()
        self.source_embed_tokens = self.embed_tokens if config.share_all_embeddings else self._embedding()
        self.encoder, self.decoder = Encoder(config), Decoder(config)
        self.dropout = nn.Dropout(config.dropout)
        positions = sinusoidal_positions(FIRST_POSITION + config.max_positions, config.model_dim)
        self.register_buffer("positions", positions[FIRST_POSITION:], persistent=False)

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Tensor:
        """Teacher-forced logits of what follows each token of the target but its last.

        source (B, S), source_lengths (B,), target (B, T + 1) of padded `target_tokens` -> (B, T, V).
        """
        return self.decode(target[:, :-1], self.start(source, source_lengths))

    def start(self, source: Tensor, source_lengths: Tensor) -> DecoderCache:
        """Encode sources (B, S) of source_lengths (B,), and open a decoder on them."""
        mask = padding_mask(source_lengths, source.size(1))
        return self.decoder.start(self.encoder(self._embed(self.source_embed_tokens, source, 0), mask), mask)

    def decode(self, tokens: Tensor, cache: DecoderCache) -> Tensor:
        """Read tokens (B, T) after those the cache holds -> logits (B, T, V) of the token after each."""
        x = self.decoder(self._embed(self.embed_tokens, tokens, cache.length), cache)
        return functional.linear(x, self.embed_tokens.weight)

    def loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Label-smoothed cross-entropy a token, and {nll, accuracy, tokens}; padding does not count.

        logits (B, T, V) of `forward`, target (B, T + 1). fairseq spreads the smoothed mass over the V - 1
        wrong symbols, torch over all V: hence the factor.
        """
        logits, labels = logits.flatten(0, 1).float(), target[:, 1:].flatten()
        smoothing = self.config.label_smoothing * logits.size(1) / (logits.size(1) - 1)
        loss = functional.cross_entropy(logits, labels, ignore_index=PAD, label_smoothing=smoothing)
        with torch.no_grad():
            nll = functional.cross_entropy(logits, labels, ignore_index=PAD)
            true = labels != PAD
            accuracy = (logits.argmax(1) == labels)[true].float().mean()
        return loss, {"nll": nll, "accuracy": accuracy, "tokens": true.sum()}

    def _embed(self, embedding: nn.Embedding, tokens: Tensor, first: int) -> Tensor:
        last = first + tokens.size(1)
        if last > self.config.max_positions:
            raise ValueError(
                f"a sequence of {last} tokens is longer than max_positions {self.config.max_positions}; "
                "cut it, or train with more positions"
            )
        return self.dropout(embedding(tokens) * self.config.model_dim**0.5 + self.positions[first:last])

    def _embedding(self) -> nn.Embedding:
        embedding = nn.Embedding(self.vocabulary.size, self.config.model_dim, padding_idx=PAD)
        nn.init.normal_(embedding.weight, std=self.config.model_dim**-0.5)
        nn.init.zeros_(embedding.weight[PAD])
        return embedding


def pad_tokens(sequences: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Stack B sequences of token ids -> tokens (B, longest), padded on the right, and lengths (B,)."""
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    tokens = torch.full((len(sequences), int(lengths.max())), PAD)
    for row, sequence in zip(tokens, sequences, strict=True):
        row[: len(sequence)] = torch.from_numpy(sequence)
    return tokens, lengths
