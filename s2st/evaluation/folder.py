"""Speech of any system in a folder of {id}.wav, scored against references by what a recogniser hears.

What is not there, empty, silent or no audio is heard as nothing, and counted: nothing is skipped.
"""

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from s2st import audio, storage
from s2st.config import UserError
from s2st.evaluation.asr_bleu import score_heard
from s2st.evaluation.protocols import Protocol

SUFFIX = ".wav"
PROBLEMS = ("missing", "empty", "silent", "unreadable")
Transcribe = Callable[[Sequence[np.ndarray]], list[str]]


def read_references(file: str) -> dict[str, str]:
    """Read a table with tabs between its columns, of which a header names `id` and `text`: the text of each id.

    Raises UserError for what is no such table, for an id that comes twice, and if no line has a text.
    """
    try:
        lines = io.StringIO(storage.read_bytes(file).decode("utf-8-sig"), newline="")
    except FileNotFoundError:
        raise UserError(f"there is no file {file}; name a table of references with the columns id and text") from None
    except UnicodeDecodeError:
        raise UserError(f"{file} is not in UTF-8; save it so") from None
    table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    if missing := [name for name in ("id", "text") if name not in (table.fieldnames or ())]:
        raise UserError(
            f"{file} has no column '{missing[0]}'; its first line must name id and text, with a tab between"
        )
    references: dict[str, str] = {}
    for row in table:
        if row["text"] is None:
            raise UserError(f"{file}, line {table.line_num}: there is no text; write it after a tab")
        if row["id"] in references:
            raise UserError(f"{file}, line {table.line_num}: '{row['id']}' comes twice; give each id one line")
        references[row["id"]] = row["text"].strip()
    if not references:
        raise UserError(f"{file} has no references; write a line for each recording below its first")
    if not any(references.values()):
        raise UserError(f"{file} has nothing in its column 'text'; write there what should be said")
    return references


def find_speech(folder: str, ids: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Find the file of each id that has one, and the names of files that are of no id.

    Raises UserError if no file is of any id.
    """
    _, root = storage.resolve(folder)
    names = {path.removeprefix(root).lstrip("/") for path in storage.list_files(folder, SUFFIX)}
    wanted = {f"{each}{SUFFIX}": each for each in ids}
    if not names & set(wanted):
        raise UserError(f"{folder} has no file named after an id of the references, such as {min(wanted)}")
    found = {wanted[name]: f"{folder.rstrip('/')}/{name}" for name in names & set(wanted)}
    return found, sorted(names - set(wanted))


def find_recordings(folder: str, ids: Iterable[str]) -> dict[str, str]:
    """Find the true recording of each id; raises UserError if one is not there."""
    ids = list(ids)
    found, _ = find_speech(folder, ids)
    if missing := sorted(set(ids) - set(found)):
        raise UserError(f"{folder} has no {missing[0]}{SUFFIX}; the true speech of every reference must be there")
    return found


def rows_to_hear(
    texts: Mapping[str, str], files: Mapping[str, str], recordings: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Put together what `hear_rows` needs, by id."""
    return [
        {
            "utterance_id": each,
            "reference_text": text,
            "file": files.get(each),
            "recording_file": recordings.get(each),
            "recording": None,
        }
        for each, text in sorted(texts.items())
    ]


def listen(transcribe: Transcribe, sounds: Sequence[bytes | None]) -> list[dict[str, Any]]:
    """Hear sounds, None for one that is missing: heard_text, problem and seconds of each, as in FOLDER_SCORES."""
    rows, waveforms = [], []
    for sound in sounds:
        waveform, problem = _decode(sound)
        rows.append({"heard_text": "", "problem": problem, "seconds": len(waveform) / audio.SAMPLE_RATE})
        waveforms.append(waveform)
    speech = [place for place, row in enumerate(rows) if row["problem"] is None]
    for place, text in zip(speech, transcribe([waveforms[place] for place in speech]) if speech else [], strict=True):
        rows[place]["heard_text"] = text
    return rows


def _decode(sound: bytes | None) -> tuple[np.ndarray, str | None]:
    """Decode a sound, or say what is wrong with it; silence has no length."""
    nothing = np.zeros(0, np.float32)
    if not sound:
        return nothing, "missing" if sound is None else "empty"
    try:
        return audio.decode(sound), None
    except audio.SilentError:
        return nothing, "silent"
    except audio.AudioError:
        return nothing, "unreadable"


def hear_rows(transcribe: Transcribe, lang: str, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Make rows of FOLDER_SCORES from those with utterance_id, reference_text, file, recording_file and recording.

    `file` and `recording_file` are addresses, which are read here, or None; `recording` is the true speech itself,
    where it lies in no file of its own.
    """
    heard = listen(transcribe, [_read(row["file"]) for row in rows])
    recorded = listen(transcribe, [row["recording"] or _read(row["recording_file"]) for row in rows])
    done = []
    for row, found, true in zip(rows, heard, recorded, strict=True):
        known = {"utterance_id": row["utterance_id"], "lang": lang, "reference_text": row["reference_text"], **found}
        given = row["recording"] is not None or row["recording_file"] is not None
        known["recording_text"] = true["heard_text"] if given else None
        known["reference_seconds"] = true["seconds"] if given else None
        done.append(known)
    return done


def _read(address: str | None) -> bytes | None:
    return None if address is None else storage.read_bytes(address)


def told(scores: Mapping[str, Any]) -> str:
    """Say in a line what the scores are, and what was no speech."""
    low, high = scores["bleu_interval"]
    line = f"BLEU {scores['bleu']:.1f} ({low:.1f} to {high:.1f}), chrF {scores['chrf']:.1f}"
    line += f", WER {scores['word_error_rate']:.1%}, CER {scores['character_error_rate']:.1%}"
    if "recordings_bleu" in scores:
        line += f"; true recordings: BLEU {scores['recordings_bleu']:.1f}, WER {scores['judge_word_error_rate']:.1%}"
    problems = [f"{scores[name]} {name}" for name in (*PROBLEMS, "extra") if scores[name]]
    return f"{line}; of {scores['references']} files {', '.join(problems)}" if problems else line


def score_rows(
    rows: Sequence[Mapping[str, Any]], extra: Sequence[str], protocol: Protocol, judge: str, seed: int = 0
) -> dict[str, Any]:
    """Score rows of FOLDER_SCORES, of one language; `extra` are the files that are of no id."""
    problems = Counter(row["problem"] for row in rows)
    references, heard, recorded = (
        [row[column] for row in rows] for column in ("reference_text", "heard_text", "recording_text")
    )
    scores: dict[str, Any] = {"references": len(rows), "extra": len(extra)}
    scores |= {problem: problems[problem] for problem in PROBLEMS}
    if true_seconds := sum(row["reference_seconds"] or 0.0 for row in rows):
        scores["duration_ratio"] = sum(row["seconds"] for row in rows) / true_seconds
    return scores | score_heard(protocol, judge, references, heard, None if None in recorded else recorded, seed=seed)
