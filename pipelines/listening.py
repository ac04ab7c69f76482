"""The sentences of a report that can be heard: which ones, and their sound."""

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import soundfile

from s2st import audio, storage
from s2st.evaluation.report_content import Resynthesis
from s2st.schemas import MANIFEST, RESYNTHESES, RESYNTHESIS_SCORES, TRANSLATIONS
from stages import datasets
from stages.stage import Step


def choose(rows: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Choose sentences to listen to, spread evenly over each direction: not the best ones."""
    by_direction: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["pair_id"]):
        by_direction[f"{row['source_lang']}-{row['target_lang']}"].append(row)
    chosen = []
    for _, alike in sorted(by_direction.items()):
        chosen += spread(alike, count)
    return chosen


def spread(rows: Sequence[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """Choose rows at even distances."""
    return [rows[place] for place in np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(int)]


def sounds_of(step: Step, translations: str, rows: Sequence[dict[str, Any]]) -> dict[str, tuple[bytes, ...]]:
    """Read source, true target, its true units through the vocoder and the translation of rows of SCORES, by pair."""
    columns = ["pair_id", "source_utterance_id", "target_utterance_id", "ceiling_audio", "audio"]
    wanted = pc.field("pair_id").isin([row["pair_id"] for row in rows])
    pairs = datasets.read_table(translations, TRANSLATIONS, columns, wanted).to_pylist()
    spoken = recordings_of(step, {row[key] for row in pairs for key in columns[1:3]})
    return {
        row["pair_id"]: (
            spoken[row["source_utterance_id"]],
            spoken[row["target_utterance_id"]],
            row["ceiling_audio"],
            row["audio"],
        )
        for row in pairs
    }


def recordings_of(step: Step, utterances: set[str]) -> dict[str, bytes]:
    """Read the audio of utterances of the manifest."""
    wanted = pc.field("utterance_id").isin(sorted(utterances))
    rows = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "audio"], wanted).to_pylist()
    return {row["utterance_id"]: row["audio"]["bytes"] for row in rows}


def resyntheses_of(step: Step, section: str, resyntheses: str, count: int) -> list[Resynthesis]:
    """Choose recordings that were spoken again, `count` of each language, by a section of scores and one of speech."""
    scored = datasets.read_table(f"{step.run_folder}/{section}", RESYNTHESIS_SCORES).to_pylist()
    chosen = []
    for lang in sorted({row["lang"] for row in scored}):
        judged = [row for row in scored if row["lang"] == lang and row["num_words"] is not None]
        chosen += spread(judged or [row for row in scored if row["lang"] == lang], count)
    names = {row["utterance_id"] for row in chosen}
    wanted = pc.field("utterance_id").isin(sorted(names))
    table = datasets.read_table(f"{step.run_folder}/{resyntheses}", RESYNTHESES, ["utterance_id", "audio"], wanted)
    spoken = {row["utterance_id"]: row["audio"] for row in table.to_pylist()}
    recordings = recordings_of(step, names)
    return [
        Resynthesis(
            section,
            row["lang"],
            row["text"],
            row["heard_text"],
            row["recording_text"],
            spoken[row["utterance_id"]],
            recordings[row["utterance_id"]],
        )
        for row in chosen
    ]


def write_sounds(folder: str, rows: Sequence[dict[str, Any]], sounds: dict[str, tuple[bytes, ...]]) -> None:
    """Write the translations to listen to as WAV, each beside its source."""
    for number, row in enumerate(rows, 1):
        source, _, _, translated = sounds[row["pair_id"]]
        name = f"{folder}/listen/{number:02}_{row['source_lang']}-{row['target_lang']}"
        for kind, data in (("translated", translated), ("source", source)):
            waveform, _ = soundfile.read(io.BytesIO(data), dtype="float32")
            storage.write_bytes(f"{name}_{kind}.wav", audio.encode(waveform, "WAV"))
