"""What is to be heard in each recording: the letters of its text, or units of the same sentence by one speaker."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from s2st.models.hubert_ctc import NUM_SPECIALS
from s2st.models.recognizer import alphabet_of, to_letters
from s2st.schemas import MANIFEST
from s2st.units import reduce

ROWS = tuple(name for name in MANIFEST.names if name != "audio")  # of the manifest, that targets are made of
UNKNOWN = NUM_SPECIALS - 1  # fairseq's <unk>: a letter of a validation text that no training text has
TARGETS = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("split", pa.string()),
        ("units", pa.list_(pa.int32())),  # labels, as HubertCtc.loss takes them
        ("num_samples", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Targets:
    """Labels of recordings, and the recordings that have none."""

    symbols: tuple[str, ...]
    rows: list[dict[str, Any]]  # of TARGETS
    rejects: list[dict[str, Any]]  # of REJECTS


def letters(rows: list[dict[str, Any]]) -> Targets:
    """Spell the texts of recordings; the symbols are the letters of those in the training split."""
    symbols = alphabet_of(row["text"] for row in rows if row["split"] == "train")
    places = {letter: NUM_SPECIALS + i for i, letter in enumerate(symbols)}
    kept, rejects = [], []
    for row in rows:
        labels = [places.get(letter, UNKNOWN) for letter in to_letters(row["text"])]
        if labels:
            kept.append(_target(row, labels))
        else:
            rejects.append({**row, "reason": "its text has no letters"})
    return Targets(symbols, kept, rejects)


def reference_units(
    rows: list[dict[str, Any]], spoken: list[dict[str, Any]], speakers: Mapping[str, str], num_units: int
) -> Targets:
    """Give each recording the reduced units of its sentence, as the reference speaker of its language said it.

    Where that speaker said it more than once, those of the first utterance_id. `spoken` are rows of UNITS.
    """
    references: dict[tuple[str, str], list[int]] = {}
    for row in sorted(spoken, key=lambda row: row["utterance_id"]):
        if row["speaker"] == speakers.get(row["lang"]):
            units = reduce(np.asarray(row["units"], np.int64))[0]
            references.setdefault((row["lang"], row["sentence_id"]), (units + NUM_SPECIALS).tolist())
    kept, rejects = [], []
    for row in rows:
        labels = references.get((row["lang"], row["sentence_id"]))
        if labels:
            kept.append(_target(row, labels))
        else:
            rejects.append({**row, "reason": "the reference speaker did not say its sentence"})
    return Targets(tuple(map(str, range(num_units))), kept, rejects)


def fitting(targets: Targets, receptive_field: int, hop: int, max_samples: int) -> Targets:
    """Leave out recordings of more than max_samples, and those with fewer frames than CTC needs for their labels."""
    kept, rejects = [], list(targets.rejects)
    for row in targets.rows:
        labels = np.asarray(row["units"])
        needed = len(labels) + int((labels[1:] == labels[:-1]).sum())  # a blank between two that are the same
        frames = (row["num_samples"] - receptive_field) // hop + 1
        if row["num_samples"] > max_samples:
            rejects.append({**row, "reason": "it is longer than a batch"})
        elif frames < needed:
            rejects.append({**row, "reason": "it is too short for what is to be heard in it"})
        else:
            kept.append(row)
    return Targets(targets.symbols, kept, rejects)


def _target(row: dict[str, Any], labels: list[int]) -> dict[str, Any]:
    return {**{name: row[name] for name in ("utterance_id", "lang", "split", "num_samples")}, "units": labels}
