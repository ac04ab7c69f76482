"""What the auxiliary tasks of a translator tell: letters of the texts of a pair, or the units of its target."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from s2st.config import UserError
from s2st.fairseq.multitask import letters
from s2st.models.auxiliary_tasks import MAX_SYMBOLS, TaskConfig
from s2st.units import EOS, NUM_SPECIALS, UNK

COLUMNS = {"source_letters": "source_text", "target_letters": "target_text", "target_units": "target_units"}
MAX_LETTERS = MAX_SYMBOLS - 2  # of a text: the end of the last word and the end of the text come on top


def columns_of(tasks: Mapping[str, TaskConfig]) -> tuple[str, ...]:
    """Name the columns of SPEECH_PAIRS that tasks are told from."""
    return tuple(sorted({COLUMNS[task.target] for task in tasks.values()}))


def with_symbols(tasks: Mapping[str, TaskConfig], pairs: pa.Table, num_units: int, where: str) -> dict[str, TaskConfig]:
    """Find the symbols of each task in the training pairs; one that has a dictionary keeps it.

    Raises UserError, beginning with `where`, for a task without symbols, or whose dictionary lacks one of the pairs.
    """
    found = {}
    for name, task in tasks.items():
        if task.target == "target_units":
            symbols = set(map(str, range(num_units)))
        else:
            texts = pc.unique(pairs[COLUMNS[task.target]]).to_pylist()
            symbols = {symbol for text in texts for symbol in letters(text or "")}
        if not symbols:
            raise UserError(f"{where}: the pairs have no text for the task {name}; ingest a corpus with texts")
        if lost := sorted(symbols - set(task.symbols) if task.symbols else ()):
            raise UserError(
                f"{where}: the dictionary of the task {name} has no '{lost[0]}', which the pairs' "
                f"{COLUMNS[task.target]} have; give one that was made of them"
            )
        ordered = task.symbols or sorted(symbols, key=lambda symbol: (len(symbol), symbol))
        found[name] = dataclasses.replace(task, symbols=tuple(ordered))
    return found


def labels_of(task: TaskConfig, row: Mapping[str, Any]) -> np.ndarray:
    """Give the labels (L,), int64, of a task for a pair; symbols that no training text has are <unk>."""
    places = {symbol: i for i, symbol in enumerate(task.symbols, start=NUM_SPECIALS)}
    labels = [places.get(symbol, UNK) for symbol in _spell(task, row)]
    return np.array([*labels, *([EOS] if task.decoder_type == "transformer" else [])], np.int64)


def _spell(task: TaskConfig, row: Mapping[str, Any]) -> list[str]:
    content = row[COLUMNS[task.target]]
    return list(map(str, content)) if task.target == "target_units" else letters(content or "")
