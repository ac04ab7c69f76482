"""What can be heard in a report: which sentences, recordings and samples, and their sound."""

import io
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
import soundfile

from pipelines.report_translations import Evaluated, sentence_of
from s2st import audio, storage
from s2st.evaluation.report_content import Continuation, Listening, Resynthesis, Sound
from s2st.evaluation.unit_strip import UnitTimes
from s2st.schemas import (
    CONTINUATION_SCORES,
    CONTINUATIONS,
    MANIFEST,
    RESYNTHESES,
    RESYNTHESIS_SCORES,
    TRANSLATIONS,
    UNITS,
)
from s2st.speech_to_units import frames_per_second
from s2st.units import reduce
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


def listening_of(step: Step, evaluated: Evaluated, rows: Sequence[dict[str, Any]]) -> list[Listening]:
    """Put beside rows of SCORES their source, true target, its true units through the vocoder and the translation."""
    columns = ["pair_id", "source_utterance_id", "target_utterance_id", "units", "durations", "ceiling_audio", "audio"]
    wanted = pc.field("pair_id").isin([row["pair_id"] for row in rows])
    pairs = datasets.read_table(evaluated.translations, TRANSLATIONS, columns, wanted).to_pylist()
    by_pair = {pair["pair_id"]: pair for pair in pairs}
    utterances = {pair[key] for pair in pairs for key in columns[1:3]}
    spoken, times = recordings_of(step, utterances), times_of(evaluated.units, utterances)
    codebook = datasets.read_table(evaluated.units, UNITS, ["codebook"])["codebook"][0].as_py()
    frame_ms = 1000 / frames_per_second(codebook)
    listening = []
    for row in rows:
        pair = by_pair[row["pair_id"]]
        source, target = pair["source_utterance_id"], pair["target_utterance_id"]
        translated = UnitTimes(pair["units"], pair["durations"], frame_ms)
        listening.append(
            Listening(
                sentence_of(row, evaluated.kind),
                Sound(spoken[source], times.get(source)),
                Sound(spoken[target], times.get(target), row["recording_text"]),
                Sound(pair["ceiling_audio"], heard=row["ceiling_text"]),
                Sound(pair["audio"], translated, row["heard_text"]),
            )
        )
    return listening


def times_of(units: str, utterances: set[str]) -> dict[str, UnitTimes]:
    """Read when each unit of the utterances was said."""
    wanted = pc.field("utterance_id").isin(sorted(utterances))
    rows = datasets.read_table(units, UNITS, ["utterance_id", "units", "durations", "codebook"], wanted).to_pylist()
    return {
        row["utterance_id"]: UnitTimes(
            reduce(np.asarray(row["units"]))[0].tolist(), row["durations"], 1000 / frames_per_second(row["codebook"])
        )
        for row in rows
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
    columns = ["utterance_id", "units", "true_durations", "durations", "audio"]
    table = datasets.read_table(f"{step.run_folder}/{resyntheses}", RESYNTHESES, columns, wanted)
    spoken = {row["utterance_id"]: row for row in table.to_pylist()}
    recordings, frame_ms = recordings_of(step, names), 1000 / audio.UNITS_PER_SECOND
    rows = []
    for row in chosen:
        made = spoken[row["utterance_id"]]
        again, true = (UnitTimes(made["units"], made[name], frame_ms) for name in ("durations", "true_durations"))
        rows.append(
            Resynthesis(
                section,
                row["lang"],
                row["text"],
                Sound(made["audio"], again, row["heard_text"]),
                Sound(recordings[row["utterance_id"]], true, row["recording_text"]),
            )
        )
    return rows


def continuations_of(step: Step, section: str, continuations: str, count: int) -> list[Continuation]:
    """Choose recordings that a language model went on from, and samples, `count` of each."""
    scored = (
        datasets.read_table(f"{step.run_folder}/{section}", CONTINUATION_SCORES).sort_by("utterance_id").to_pylist()
    )
    heard = {(row["kind"], row["utterance_id"]): row["heard_text"] for row in scored}
    chosen = [
        row["utterance_id"]
        for kind in ("continued", "sampled")
        for row in spread([row for row in scored if row["kind"] == kind], count)
    ]
    wanted = pc.field("utterance_id").isin(chosen)
    table = datasets.read_table(f"{step.run_folder}/{continuations}", CONTINUATIONS, where=wanted)
    said = {(row["kind"], row["utterance_id"]): row for row in table.to_pylist()}

    def sound(kind: str, name: str) -> Sound:
        row = said[kind, name]
        times = UnitTimes(row["units"], row["durations"], 1000 / audio.UNITS_PER_SECOND)
        return Sound(row["audio"], times, heard[kind, name])

    found = []
    for name in chosen:
        kind = "continued" if ("continued", name) in said else "sampled"
        row = said[kind, name]
        true = sound("true", name) if kind == "continued" else None
        seconds = row["prompt_samples"] / audio.SAMPLE_RATE
        found.append(Continuation(section, row["lang"], name, sound(kind, name), true, seconds))
    return found


def write_sounds(folder: str, rows: Sequence[Listening]) -> None:
    """Write the translations to listen to as WAV, each beside its source."""
    for number, row in enumerate(rows, 1):
        name = f"{folder}/listen/{number:02}_{row.sentence.direction.replace(' → ', '-')}"
        for kind, sound in (("translated", row.translated), ("source", row.source)):
            waveform, _ = soundfile.read(io.BytesIO(sound.audio), dtype="float32")
            storage.write_bytes(f"{name}_{kind}.wav", audio.encode(waveform, "WAV"))
