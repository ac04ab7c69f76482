"""Speech recogniser: log-mel frames -> residual convolutions -> letters by CTC; the judge of translated speech.

It is made to be trained in about a minute on one CPU core, on the true recordings of one language.
Shapes: B batch, T log-mel frames (100 Hz), M mel bins, D model width, S output frames (25 Hz), V letters and blank.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.features.spectral import log_mel

BLANK = 0  # CTC's empty symbol; letter i of the alphabet is symbol i + 1
SUBSAMPLING = 4  # log-mel frames an output frame: 40 ms, a little faster than letters are spoken


def normalize_text(text: str) -> str:
    """Lower-case `text` and keep letters, vowel signs, digits and apostrophes inside words, one space between words.

    The result is NFC, so that Hangul is in syllables and Devanagari in its code points.
    """
    text = unicodedata.normalize("NFC", text).lower().replace("\u2019", "'")
    joiners = "\u200c\u200d"  # zero-width: they shape Devanagari conjuncts and are not heard
    kept = [c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text if c not in joiners]
    return " ".join(word for word in (word.strip("'") for word in "".join(kept).split()) if word)


def to_letters(text: str) -> str:
    """Spell normalised text in the letters of the alphabet: Hangul syllables become jamo, the rest stays."""
    return "".join(unicodedata.normalize("NFD", c) if "\uac00" <= c <= "\ud7a3" else c for c in normalize_text(text))


def alphabet_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Sorted letters (space among them) that are needed to spell `texts`."""
    return tuple(sorted({letter for text in texts for letter in to_letters(text)}))


@dataclass(frozen=True)
class RecognizerConfig:
    alphabet: tuple[str, ...]  # letters that can be heard, from `alphabet_of`
    num_mels: int = 80  # log-mel bins
    width: int = 256  # channels of the encoder
    num_blocks: int = 6  # residual convolutions
    kernel: int = 7  # frames a block sees; odd
    dropout: float = 0.1
    speed: float = 0.1  # training: speech is played up to this share slower or faster
    noise: float = 0.2  # training: standard deviation of noise added to the normalised log-mel
    num_masks: int = 2  # training: bands of mel bins, and spans of frames, that are blanked
    mask_bins: int = 12  # training: widest band
    mask_frames: int = 12  # training: longest span, in log-mel frames

    def __post_init__(self) -> None:
        if len(set(self.alphabet)) != len(self.alphabet) or any(len(letter) != 1 for letter in self.alphabet):
            raise ValueError("alphabet must be different single letters; make it with alphabet_of(texts)")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {self.kernel}")


class ResidualBlock(nn.Module):
    """x + Conv(GELU(LayerNorm)) over time; frames past the end stay zero."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, D), mask (B, S, 1) with 1 for true frames -> (B, S, D)."""
        y = self.norm(x) * mask
        y = self.conv(y.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(F.gelu(y))
