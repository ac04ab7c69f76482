"""fairseq's dictionary: which token is which symbol. A file has a line `symbol count` for each but the specials.

<s> <pad> </s> <unk> come first and are in no file, so line i (from 0) is token i + 4. Of units there are two orders:
by number (unit u is token u + 4; dict.km.txt, UTUT), and by frequency, as fairseq-preprocess makes it by default.
Source: fairseq/data/dictionary.py.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from s2st.config import UserError
from s2st.fairseq.lines import read_lines, write_lines
from s2st.fairseq.unit_files import UnitsError
from s2st.units import EOS, NUM_SPECIALS

OVERWRITE = " #fairseq:overwrite"  # at a line's end: the symbol may have come before, and this line is what counts
PADDING = 8  # fairseq-preprocess fills up with symbols of no meaning until a multiple of this
MOST_UNITS = 1 << 16  # a unit is a uint16


@dataclass(frozen=True)
class Dictionary:
    symbols: tuple[str, ...]  # without the specials
    counts: tuple[int, ...]

    def __len__(self) -> int:
        """Number of tokens, specials included."""
        return NUM_SPECIALS + len(self.symbols)

    @classmethod
    def by_number(cls, num_units: int) -> "Dictionary":
        """List units 0 to num_units - 1 in order: unit u is token u + 4."""
        return cls.of(map(str, range(num_units)))

    @classmethod
    def of(cls, symbols: Iterable[str]) -> "Dictionary":
        """List symbols in their order, with counts that mean nothing."""
        listed = tuple(symbols)
        return cls(listed, (1,) * len(listed))

    @classmethod
    def by_frequency(cls, sequences: Iterable[np.ndarray]) -> "Dictionary":
        """List the units of sequences (T,), the most frequent first, as fairseq-preprocess does.

        Equal counts stand in the order of text ("10" before "9"); `madeupword0000 0` and so on fill up to a multiple
        of 8 tokens.
        """
        counter: Counter[int] = Counter()
        for units in sequences:
            counter.update(np.asarray(units).tolist())
        ordered = sorted(((str(unit), count) for unit, count in counter.items()), key=lambda pair: (-pair[1], pair[0]))
        missing = -(NUM_SPECIALS + len(ordered)) % PADDING
        ordered += [(f"madeupword{i:04d}", 0) for i in range(missing)]
        return cls(tuple(symbol for symbol, _ in ordered), tuple(count for _, count in ordered))

    @classmethod
    def load(cls, path: str | Path) -> "Dictionary":
        """Read a dictionary file; raises UserError if it is empty, has a malformed line or a symbol twice."""
        symbols: list[str] = []
        counts: list[int] = []
        first: dict[str, str] = {}
        for where, line in read_lines(path):
            text = line.rstrip()
            symbol, _, count = text.removesuffix(OVERWRITE).rpartition(" ")
            if not symbol or not re.fullmatch(r"-?\d+", count):
                raise UserError(f"{where} is no entry of a dictionary; write: symbol count")
            if first.setdefault(symbol, where) != where and not text.endswith(OVERWRITE):
                raise UserError(f"{where} has the symbol '{symbol}' of {first[symbol]}; was the file written twice?")
            symbols.append(symbol)
            counts.append(int(count))
        if not symbols:
            raise UserError(f"{path} is empty, and fairseq would take every symbol for <unk>; write it again")
        return cls(tuple(symbols), tuple(counts))

    def save(self, path: str | Path) -> None:
        """Write the dictionary as fairseq does."""
        write_lines(path, self.lines())

    def lines(self) -> list[str]:
        """Give the lines of its file."""
        return [f"{symbol} {count}" for symbol, count in zip(self.symbols, self.counts, strict=True)]

    def encode(self, units: np.ndarray) -> np.ndarray:
        """Units (T,) -> tokens (T + 1,), int64, with </s> at the end; raises UnitsError for a unit without a token."""
        tokens = self._token_of_unit[np.asarray(units, dtype=np.int64)]
        if len(tokens) and tokens.min() < 0:
            raise UnitsError(f"unit {units[int(tokens.argmin())]} is not in the dictionary")
        return np.append(tokens, EOS)

    def decode(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens (T + 1,) -> units (T,), uint16, without the final </s>; raises UnitsError for other symbols."""
        tokens = np.asarray(tokens, dtype=np.int64)
        if not len(tokens) or tokens[-1] != EOS:
            raise UnitsError("the tokens do not end in </s>")
        if len(tokens) == 1:
            raise UnitsError("there are no units")
        if tokens.max() >= len(self):
            raise UnitsError(f"token {tokens.max()} is not in the dictionary of {len(self)}")
        units = self._unit_of_token[tokens[:-1]]
        if units.min() < 0:
            raise UnitsError(f"'{self._symbol(int(tokens[int(units.argmin())]))}' is no unit")
        return units.astype(np.uint16)

    def _symbol(self, token: int) -> str:
        return ("<s>", "<pad>", "</s>", "<unk>", *self.symbols)[token]

    @cached_property
    def _unit_of_token(self) -> np.ndarray:
        """The unit of each token, -1 where there is none."""
        units = np.full(len(self), -1, dtype=np.int64)
        for token, symbol in enumerate(self.symbols, start=NUM_SPECIALS):
            if re.fullmatch(r"0|[1-9][0-9]{0,4}", symbol) and int(symbol) < MOST_UNITS:
                units[token] = int(symbol)
        return units

    @cached_property
    def _token_of_unit(self) -> np.ndarray:
        """The token of each unit, -1 where there is none."""
        tokens = np.full(MOST_UNITS, -1, dtype=np.int64)
        listed = np.flatnonzero(self._unit_of_token >= 0)
        tokens[self._unit_of_token[listed]] = listed  # of a symbol that comes twice, the last counts
        return tokens
