"""Speech recogniser: log-mel -> residual convolutions -> letters by CTC; the judge of translated speech.

It is made to be trained in about a minute on one CPU core, on the true recordings of one language.
Shapes: B batch, T log-mel frames (100 Hz), M mel bins, D width, S output frames (25 Hz), V letters + blank.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from s2st.audio import WINDOW
from s2st.features.spectral import log_mel
from s2st.models.dropout import Dropout

BLANK = 0  # CTC's empty symbol; letter i of the alphabet is symbol i + 1
DYNAMIC_RANGE = 8.0  # nats of power (35 dB) below the loudest bin that are heard; at 12, faint hiss ruins it
SPREAD = 2.5  # about the standard deviation of log-mel speech around its mean, in nats


def normalize_text(text: str) -> str:
    """Lower-case `text`; keep letters, vowel signs, digits and apostrophes within words, one space between.

    The result is NFC, so that Hangul is in syllables and Devanagari in its code points.
    """
    text = unicodedata.normalize("NFC", text.lower()).replace("\u2019", "'")
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
    alphabet: tuple[str, ...] = ()  # letters that can be heard, from `alphabet_of`
    num_mels: int = 80  # log-mel bins
    front_width: int = 128  # channels after the first of the two convolutions that make 25 Hz of 100 Hz
    width: int = 192  # channels of the encoder
    num_blocks: int = 4  # residual convolutions
    kernel: int = 5  # frames a block sees; with 4 blocks a letter is judged by 0.7 s of speech
    dropout: float = 0.1
    speed: float = 0.1  # training: speech is played up to this share faster or slower
    noise: float = 0.2  # training: standard deviation of noise added to the normalised log-mel
    num_masks: int = 1  # training: bands of mel bins, and as many spans of frames, that are blanked
    mask_bins: int = 12  # training: widest band
    mask_frames: int = 12  # training: longest span, in log-mel frames

    def __post_init__(self) -> None:
        if len(set(self.alphabet)) != len(self.alphabet) or any(len(letter) != 1 for letter in self.alphabet):
            raise ValueError("alphabet must be different single letters; make it with alphabet_of(texts)")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, found {self.kernel}")
        if not 0 <= self.speed < 1:
            raise ValueError(f"speed must be a share from 0 to below 1, found {self.speed}")


class ResidualBlock(nn.Module):
    """Add GELU(Conv(LayerNorm(x))) to x; the convolution sees zeros past the end, in a batch as alone."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, kernel, padding=kernel // 2)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, S, D), mask (B, S, 1) with 1 for true frames -> (B, S, D)."""
        y = self.norm(x) * mask
        y = self.conv(y.transpose(1, 2)).transpose(1, 2)
        return x + self.dropout(F.gelu(y))


class Recognizer(nn.Module):
    """Hear letters: `loss` to train, `transcribe` to listen."""

    def __init__(self, config: RecognizerConfig) -> None:
        super().__init__()
        self.config = config
        self.front = nn.ModuleList(
            [
                nn.Conv1d(config.num_mels, config.front_width, 3, stride=2, padding=1),
                nn.Conv1d(config.front_width, config.width, 3, stride=2, padding=1),
            ]
        )
        self.blocks = nn.ModuleList(
            [ResidualBlock(config.width, config.kernel, config.dropout) for _ in range(config.num_blocks)]
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, len(config.alphabet) + 1)

    def features(self, waveform: np.ndarray) -> Tensor:
        """Log-mel frames of a waveform (N,) -> (T, M), what `forward` reads."""
        return log_mel(waveform, self.config.num_mels)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probabilities of letters. features (B, T, M), lengths (B,) -> (B, S, V), lengths (B,)."""
        x = normalize(features, lengths)
        if self.training:
            x, lengths = self.augment(x, lengths)
        x = x.transpose(1, 2)
        for conv in self.front:
            lengths = (lengths + 1) // 2
            x = F.gelu(conv(x))
            x = x * frame_mask(lengths, x.shape[2]).unsqueeze(1)
        x, mask = x.transpose(1, 2), frame_mask(lengths, x.shape[2]).unsqueeze(2)
        for block in self.blocks:
            x = block(x, mask)
        return self.head(self.norm(x)).float().log_softmax(-1), lengths

    def loss(self, features: Tensor, lengths: Tensor, letters: Tensor, num_letters: Tensor) -> Tensor:
        """CTC loss, nats a letter, mean over texts.

        features (B, T, M), lengths (B,), letters (B, L) as `encode` gives them, padded, num_letters (B,) -> scalar.
        """
        log_probs, lengths = self(features, lengths)
        # speech too short for its text has an infinite loss: it teaches nothing and must not spoil the batch
        return F.ctc_loss(log_probs.transpose(0, 1), letters, lengths, num_letters, BLANK, zero_infinity=True)

    def augment(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Vary normalised features: speed (one for the batch), noise, blanked bands and spans."""
        config = self.config
        if config.speed:
            scale = 1 + config.speed * (2 * torch.rand(()).item() - 1)
            size = max(1, round(x.shape[1] * scale))
            x = F.interpolate(x.transpose(1, 2), size=size, mode="linear").transpose(1, 2)
            lengths = (lengths * scale).long().clamp(1, size)
        if config.noise:
            x = x + config.noise * torch.randn_like(x)
        for _ in range(config.num_masks):
            x = x.masked_fill(
                _random_spans(torch.full_like(lengths, x.shape[2]), config.mask_bins, x.shape[2])[:, None], 0
            )
            x = x.masked_fill(_random_spans(lengths, config.mask_frames, x.shape[1])[:, :, None], 0)
        return x * frame_mask(lengths, x.shape[1]).unsqueeze(2), lengths

    def encode(self, text: str) -> list[int]:
        """Symbols of a text; raises ValueError if it needs a letter that the alphabet has not."""
        symbols = {letter: i + 1 for i, letter in enumerate(self.config.alphabet)}
        letters = to_letters(text)
        if unknown := sorted(set(letters) - set(symbols)):
            raise ValueError(f"'{text}' has letters outside the alphabet: {unknown}; make it of all training texts")
        return [symbols[letter] for letter in letters]

    def decode(self, symbols: Sequence[int]) -> str:
        """Text of CTC's best path: runs joined, blanks dropped, jamo made syllables."""
        runs = [symbol for i, symbol in enumerate(symbols) if i == 0 or symbol != symbols[i - 1]]
        return normalize_text("".join(self.config.alphabet[symbol - 1] for symbol in runs if symbol != BLANK))

    @torch.no_grad()
    def transcribe(self, waveforms: Sequence[np.ndarray], batch_size: int = 16) -> list[str]:
        """Hear the text of each waveform (N,), in eval mode; one shorter than a frame gives ""."""
        assert not self.training, "call eval() first: dropout and augmentation would be heard"
        device = self.head.weight.device
        texts = [""] * len(waveforms)
        order = sorted((i for i, w in enumerate(waveforms) if len(w) >= WINDOW), key=lambda i: len(waveforms[i]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            features, lengths = pad([self.features(waveforms[i]) for i in rows])
            log_probs, lengths = self(features.to(device), lengths.to(device))
            for i, path, length in zip(rows, log_probs.argmax(-1).tolist(), lengths.tolist(), strict=True):
                texts[i] = self.decode(path[:length])
        return texts


def pad(features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Make a batch of features (T, M) each -> (B, T, M) with zeros past the ends, lengths (B,)."""
    lengths = torch.tensor([len(rows) for rows in features])
    return nn.utils.rnn.pad_sequence(list(features), batch_first=True), lengths


def normalize(features: Tensor, lengths: Tensor) -> Tensor:
    """Take away what a microphone or a vocoder adds: loudness, timbre and the depth of silence.

    Values are cut off DYNAMIC_RANGE below the loudest of the utterance, because a synthetic voice is silent
    to the last digit and a vocoder is not; then each bin's mean over time goes.
    features (B, T, M), lengths (B,) -> (B, T, M), zeros past the ends.
    """
    mask = frame_mask(lengths, features.shape[1]).unsqueeze(2)
    loudest = features.masked_fill(~mask, -torch.inf).amax((1, 2), keepdim=True)
    x = features.maximum(loudest - DYNAMIC_RANGE) * mask
    mean = x.sum(1, keepdim=True) / lengths[:, None, None]
    return (x - mean) / SPREAD * mask


def frame_mask(lengths: Tensor, size: int) -> Tensor:
    """True for frames before the end: lengths (B,) -> (B, size)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def _random_spans(lengths: Tensor, longest: int, size: int) -> Tensor:
    """One span of 0 to `longest` places somewhere within each length: (B,) -> (B, size), True inside."""
    spans = torch.randint(0, longest + 1, lengths.shape, device=lengths.device)
    starts = torch.rand(lengths.shape, device=lengths.device) * (lengths - spans)
    places = torch.arange(size, device=lengths.device)
    return (places >= starts[:, None]) & (places < (starts + spans)[:, None])
