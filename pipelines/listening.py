"""The sentences of a report that can be heard: which ones, and their sound."""

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile

from s2st import audio, storage
from s2st.schemas import MANIFEST, TRANSLATIONS
from stages import datasets
from stages.stage import Step


def choose(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Choose sentences to listen to, spread evenly over each direction: not the best ones."""
    by_direction: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["pair_id"]):
        by_direction[f"{row['source_lang']}-{row['target_lang']}"].append(row)
    chosen = []
    for _, alike in sorted(by_direction.items()):
        places = np.linspace(0, len(alike) - 1, min(count, len(alike))).astype(int)
        chosen += [alike[place] for place in places]
    return chosen


def sounds_of(step: Step, translations: str, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[bytes, bytes, bytes]]:
    """Read source, true target and translated audio of rows of SCORES, by pair."""
    wanted = pa.array([row["pair_id"] for row in rows], pa.string())
    columns = ["pair_id", "source_utterance_id", "target_utterance_id", "audio"]
    table = datasets.read_table(translations, TRANSLATIONS, columns)
    pairs = table.filter(pc.is_in(table["pair_id"], wanted)).to_pylist()
    names = {row[key] for row in pairs for key in ("source_utterance_id", "target_utterance_id")}
    recordings = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "audio"])
    recordings = recordings.filter(pc.is_in(recordings["utterance_id"], pa.array(sorted(names), pa.string())))
    spoken = {row["utterance_id"]: row["audio"]["bytes"] for row in recordings.to_pylist()}
    return {
        row["pair_id"]: (spoken[row["source_utterance_id"]], spoken[row["target_utterance_id"]], row["audio"])
        for row in pairs
    }


def write_sounds(folder: str, rows: Sequence[dict[str, Any]], sounds: dict[str, tuple[bytes, bytes, bytes]]) -> None:
    """Write the translations to listen to as WAV, each beside its source."""
    for number, row in enumerate(rows, 1):
        source, _, translated = sounds[row["pair_id"]]
        name = f"{folder}/listen/{number:02}_{row['source_lang']}-{row['target_lang']}"
        for kind, data in (("translated", translated), ("source", source)):
            waveform, _ = soundfile.read(io.BytesIO(data), dtype="float32")
            storage.write_bytes(f"{name}_{kind}.wav", audio.encode(waveform, "WAV"))
