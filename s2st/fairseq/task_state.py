"""Dictionaries inside fairseq's checkpoints (`task_state`): read out of stubs, and written without fairseq.

A pre-trained HuBERT keeps one of each set of labels there (`dictionaries`), a fine-tuned model that of its symbols
(`target_dictionary`), as pickled objects. Without them fairseq looks for dict.*.txt at a path of whoever trained it.
Source: fairseq/tasks/hubert_pretraining.py, fairseq/data/dictionary.py.
"""

import pickle
import types
from typing import Any

from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.unpickle import Stub

SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")
MAX_SYMBOLS = 1_000_000


def read_dictionaries(task_state: Any, address: str) -> dict[str, list[Dictionary]]:
    """Read `dictionaries` and `target_dictionary` of a checkpoint of `read_fairseq`; a list is empty if it has none.

    Raises UserError, beginning with `address`, for what is no dictionary of distinct symbols behind the four specials.
    """
    state = task_state if isinstance(task_state, dict) else {}
    found = {}
    for name in ("dictionaries", "target_dictionary"):
        given = state.get(name)
        items = given if isinstance(given, list) else [given]
        if len(items) > 100:  # one per set of labels
            raise UserError(f"{address} has {len(items)} dictionaries, more than any model; fetch it again")
        found[name] = [_dictionary(item, f"{address}: its {name}") for item in items if item is not None]
    return found


def _dictionary(item: Any, where: str) -> Dictionary:
    """Read fairseq's Dictionary: symbols in order, and their numbers, which must agree."""
    state = item.state if isinstance(item, Stub) else None
    if not isinstance(state, dict):
        raise UserError(f"{where} is a {type(item).__name__} without symbols; fetch the checkpoint again")
    symbols, numbers = state.get("symbols"), state.get("indices")
    if not isinstance(symbols, list) or not isinstance(numbers, dict) or not len(symbols) <= MAX_SYMBOLS:
        raise UserError(f"{where} has no list of up to {MAX_SYMBOLS} symbols; fetch the checkpoint again")
    if not all(isinstance(symbol, str) and _is_text(symbol) for symbol in symbols):
        raise UserError(f"{where} has symbols that are no text; fetch the checkpoint again")
    if tuple(symbols[: len(SPECIALS)]) != SPECIALS:
        raise UserError(f"{where} does not begin with {' '.join(SPECIALS)}; models with others cannot be read")
    right = all(type(numbers.get(symbol)) is int and numbers[symbol] == i for i, symbol in enumerate(symbols))
    if not right or len(numbers) != len(symbols):
        raise UserError(f"{where} has symbols twice, or out of the order of their numbers; fetch the checkpoint again")
    return Dictionary.of(symbols[len(SPECIALS) :])


def _is_text(symbol: str) -> bool:
    """Tell whether it can be written: pickles may hold half a character."""
    try:
        symbol.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Written:
    """Stand for fairseq's Dictionary, with the same attributes; `_Pickler` writes it under that name."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.bos_word, self.pad_word, self.eos_word, self.unk_word = SPECIALS
        self.bos_index, self.pad_index, self.eos_index, self.unk_index = range(len(SPECIALS))
        self.nspecial = len(SPECIALS)
        self.symbols = [*SPECIALS, *dictionary.symbols]
        self.count = [1] * len(SPECIALS) + list(dictionary.counts)
        self.indices = {symbol: i for i, symbol in enumerate(self.symbols)}


def written(dictionary: Dictionary) -> Any:
    """Give what becomes fairseq's Dictionary in the file if torch.save gets `PICKLE` as its pickle_module."""
    return _Written(dictionary)


class _Pickler(pickle._Pickler):
    """Python's own pickler, not the one in C, which imports every class it names: this one names one of fairseq."""

    def save_global(self, obj: Any, name: str | None = None) -> None:
        if obj is _Written:
            self.write(pickle.GLOBAL + b"fairseq.data.dictionary\nDictionary\n")  # type: ignore[attr-defined]
            self.memoize(obj)  # type: ignore[attr-defined]
        else:
            super().save_global(obj, name)  # type: ignore[misc]


PICKLE = types.ModuleType("pickle_for_fairseq")  # what torch.save wants of a pickle module
PICKLE.Pickler = _Pickler  # type: ignore[attr-defined]
