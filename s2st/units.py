"""Units of speech: reducing runs, and the vocabulary that turns reduced units into a translator's tokens.

The symbols are laid out as fairseq and UTUT do: <s> <pad> </s> <unk>, the units, then our byte-pair merges
(if any), one symbol a language, <mask>. So unit u is token u + 4, whatever the languages and merges. Without languages
the vocabulary is that of a plain translation of fairseq: no <mask>, and </s> stands where a language would.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

BOS, PAD, EOS, UNK = range(4)
NUM_SPECIALS = 4
FIRST_CHARACTER = 0xF0000  # a private plane of Unicode: as text, unit u is this character + u


def reduce(units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join runs of a unit: units (T,) -> reduced units (N,) and durations (N,), in frames."""
    units = _one_dimensional(units)
    starts = np.flatnonzero(np.diff(units, prepend=units[:1] - 1))
    return units[starts], np.diff(starts, append=len(units))


def reduce_rows(units: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`reduce` many sequences at once: units (T,), offsets (N + 1,) -> reduced units (R,), offsets (N + 1,)."""
    begins = np.empty(len(units), bool)
    begins[1:] = units[1:] != units[:-1]
    begins[offsets[offsets < len(units)]] = True  # a sequence begins a run, whatever unit ends the one before
    starts = np.flatnonzero(begins)
    return units[starts], np.searchsorted(starts, offsets)


def expand(reduced: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Undo `reduce`: reduced units (N,) and durations (N,) -> units (T,)."""
    return np.repeat(_one_dimensional(reduced), durations)


@dataclass(frozen=True)
class UnitVocabulary:
    num_units: int  # codebook size K
    languages: tuple[str, ...]  # in the order of their symbols
    merges: tuple[tuple[int, int], ...] = ()  # pairs of pieces: unit u is piece u, merge i makes piece K + i
    bart_targets: bool = False  # a target's units stand between <s> and </s>, as in the pre-training of mBART

    def __post_init__(self) -> None:
        if len(set(self.languages)) != len(self.languages):
            raise ValueError(f"languages {self.languages} name one twice; name each once")
        for i, pair in enumerate(self.merges):
            if not all(0 <= piece < self.num_units + i for piece in pair):
                raise ValueError(
                    f"merge {i} joins {pair}, but only pieces 0 to {self.num_units + i - 1} exist by then; "
                    f"fit the merges with num_units={self.num_units}"
                )

    @property
    def first_language(self) -> int:
        """The first language's symbol; tokens from NUM_SPECIALS up to it are units and merges."""
        return NUM_SPECIALS + self.num_units + len(self.merges)

    @property
    def size(self) -> int:
        return self.first_language + (len(self.languages) + 1 if self.languages else 0)

    @property
    def mask(self) -> int:
        assert self.languages, "a plain vocabulary has no <mask>"
        return self.size - 1

    @property
    def target_tokens_allowed(self) -> np.ndarray:
        """What may stand between the symbols that begin and end a target: (size,), bool."""
        allowed = np.zeros(self.size, bool)
        allowed[NUM_SPECIALS : self.first_language] = True
        allowed[[BOS, EOS]] = self.bart_targets
        return allowed

    @property
    def num_source_marks(self) -> int:
        """How many tokens `as_source` adds."""
        return 3 if self.languages else 1

    def language_symbol(self, lang: str) -> int:
        """What begins and ends a target in the language: its symbol, or </s> where languages have none."""
        if not self.languages:
            return EOS
        if lang not in self.languages:
            raise ValueError(f"language '{lang}' is not in the vocabulary ({', '.join(self.languages)})")
        return self.first_language + self.languages.index(lang)

    def language(self, symbol: int) -> str:
        """The language that a symbol stands for; "" where languages have none."""
        return self.languages[symbol - self.first_language] if self.languages else ""

    def encode(self, units: np.ndarray) -> np.ndarray:
        """Reduced units (N,) -> token ids (M,), int64, M <= N; no special symbols."""
        units = _one_dimensional(units).astype(np.int64)
        if len(units) and not 0 <= units.min() <= units.max() < self.num_units:
            raise ValueError(
                f"units {units.min()} to {units.max()} are outside 0 to {self.num_units - 1}; "
                "were they made with another codebook?"
            )
        if (units[1:] == units[:-1]).any():
            raise ValueError("the units hold runs, but the translator reads reduced ones; call reduce first")
        if not self.merges or not len(units):
            return units + NUM_SPECIALS
        pieces = self._byte_pairs.tokenize(_to_text(units))
        return np.array([piece.id for piece in pieces], np.int64) + NUM_SPECIALS

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Token ids (M,) -> reduced units (N,), int32; symbols that are no units are dropped."""
        tokens = _one_dimensional(tokens)
        pieces = tokens[(tokens >= NUM_SPECIALS) & (tokens < self.first_language)] - NUM_SPECIALS
        spelled = [self._spelling[piece] for piece in pieces]
        units = np.array([unit for spelling in spelled for unit in spelling], np.int32)
        return reduce(units)[0]  # one piece may begin with the unit that ends the one before

    def source_tokens(self, units: np.ndarray, lang: str) -> np.ndarray:
        """What the encoder reads: <s> units </s> [lang]; without languages, units </s>."""
        return self.as_source(self.encode(units), lang)

    def target_tokens(self, units: np.ndarray, lang: str) -> np.ndarray:
        """What the decoder learns: [lang] units [lang]; without languages, </s> units </s>.

        With bart_targets, [lang] <s> units </s> [lang].
        The last is never read, the first not predicted.
        """
        return self.as_target(self.encode(units), lang)

    def as_source(self, tokens: np.ndarray, lang: str) -> np.ndarray:
        """Put around tokens (N,) of `encode` what a source has."""
        if not self.languages:
            return np.append(tokens, EOS)
        return np.concatenate([[BOS], tokens, [EOS, self.language_symbol(lang)]])

    def as_target(self, tokens: np.ndarray, lang: str) -> np.ndarray:
        """Put around tokens (N,) of `encode` what a target has."""
        symbol = self.language_symbol(lang)
        end = [EOS, symbol] if self.bart_targets else [symbol]
        return np.concatenate([[symbol], self.as_prefix(tokens), end])

    def as_prefix(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (N,) of `encode` as the beginning of a target, behind the symbol of its language."""
        return np.concatenate([[BOS], tokens]) if self.bart_targets else tokens

    @cached_property
    def _spelling(self) -> list[tuple[int, ...]]:
        """The units of each piece."""
        spelling: list[tuple[int, ...]] = [(unit,) for unit in range(self.num_units)]
        for left, right in self.merges:
            spelling.append(spelling[left] + spelling[right])
        return spelling

    @cached_property
    def _byte_pairs(self) -> BPE:
        texts = [_to_text(np.array(spelling)) for spelling in self._spelling]
        merges = [(texts[left], texts[right]) for left, right in self.merges]
        return BPE(vocab={text: piece for piece, text in enumerate(texts)}, merges=merges)


def fit_merges(sequences: Iterable[np.ndarray], num_merges: int, num_units: int) -> tuple[tuple[int, int], ...]:
    """Learn byte-pair merges, most frequent first, from reduced units of all languages together.

    Gives fewer than `num_merges` where the sequences hold fewer pairs.
    """
    alphabet = [chr(FIRST_CHARACTER + unit) for unit in range(num_units)]
    trainer = BpeTrainer(
        vocab_size=num_units + num_merges, initial_alphabet=alphabet, min_frequency=2, show_progress=False
    )
    tokenizer = Tokenizer(BPE())
    tokenizer.train_from_iterator((_to_text(units) for units in sequences), trainer)
    pieces = {character: unit for unit, character in enumerate(alphabet)}
    merges = []
    for left, right in json.loads(tokenizer.to_str())["model"]["merges"]:
        if left + right not in pieces:  # the same units may be reached by two ways; one piece is enough
            pieces[left + right] = len(pieces)
            merges.append((pieces[left], pieces[right]))
    return tuple(merges)


def _to_text(units: np.ndarray) -> str:
    return (np.asarray(units) + FIRST_CHARACTER).astype("<u4").tobytes().decode("utf-32-le")


def _one_dimensional(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(f"expected one sequence of units, found an array of shape {values.shape}")
    return values
