"""What both kinds of fairseq's speech_to_speech folders share: source recordings, tables of pairs, names of splits."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import soundfile

from s2st.audio import SAMPLE_RATE, WINDOW
from s2st.config import UserError
from s2st.fairseq.mel_zip import parse_address, read_slice
from s2st.fairseq.speech_config import CONFIG, read_config
from s2st.fairseq.tsv import Line, count, read_tsv, write_tsv
from s2st.storage import write_bytes

COLUMNS = ("id", "src_audio", "src_n_frames", "tgt_audio", "tgt_n_frames")
LANGUAGES = ("src_lang", "tgt_lang")
AUDIO = "audio"
SAMPLES_PER_FRAME = 160  # fairseq's estimate of 10 ms frames, though each needs a whole window
SUFFIXES = {"FLAC": ".flac", "WAV": ".wav"}

Address = tuple[Path, tuple[int, int] | None]


@dataclass(frozen=True)
class Source:
    """A recording to translate."""

    pair_id: str  # unique in all splits
    recording_id: str  # names its file; pairs may share it
    audio: bytes  # FLAC or WAV, 16 kHz, mono
    lang: str = ""
    target_lang: str = ""


class FolderWriter:
    """What both kinds of folder share: source recordings, tables, and the checks of names and languages."""

    def __init__(self, folder: Path, splits: list[str]) -> None:
        if (folder / CONFIG).exists():
            raise UserError(f"{folder} holds a data set already; write all splits at once into an empty folder")
        for split in splits:
            our_split(split)
        (folder / AUDIO).mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.target_languages: set[str] = set()
        self.counts: dict[str, int] = {}
        self._pair_ids: set[str] = set()
        self._named = False  # whether the pairs name their languages

    def row(self, source: Source, target: str, target_frames: int) -> list[str | int]:
        """Write the recording and give the pair's line."""
        if source.pair_id in self._pair_ids:
            raise UserError(f"pair '{source.pair_id}' is there twice; give each pair its own id, in one split")
        named = bool(source.lang and source.target_lang)
        if (self._pair_ids and named != self._named) or bool(source.lang) != bool(source.target_lang):
            raise UserError(f"pair '{source.pair_id}': name both languages of every pair, or of none")
        self._named = named
        self._pair_ids.add(source.pair_id)
        self.target_languages.add(source.target_lang)
        samples, suffix = probe(source.audio, f"recording '{source.recording_id}'")
        name = PurePosixPath(AUDIO, source.recording_id + suffix)
        if ".." in name.parts or str(name) != f"{AUDIO}/{source.recording_id}{suffix}":
            raise UserError(f"recording '{source.recording_id}' cannot be the name of a file; rename it")
        path = self.folder / name
        if not path.exists():
            write_bytes(str(path), source.audio)
        elif path.read_bytes() != source.audio:
            raise UserError(f"{path} is another recording of the same name; rename one, or write into an empty folder")
        row: list[str | int] = [source.pair_id, str(name), samples // SAMPLES_PER_FRAME, target, target_frames]
        return [*row, source.lang, source.target_lang] if named else row

    def write_table(self, split: str, rows: list[list[str | int]]) -> None:
        """Write the lines of a split, with languages if the pairs name them."""
        columns = (*COLUMNS, *LANGUAGES) if self._named else COLUMNS
        write_tsv(self.folder / f"{split}.tsv", columns, rows)
        self.counts[split] = len(rows)


def our_split(split: str) -> str:
    """Give our name of a split; raises UserError where fairseq's name does not say which it is.

    fairseq trains on, and augments, nothing but what begins with "train".
    """
    for beginning, ours in (("train", "train"), ("valid", "validation"), ("dev", "validation"), ("test", "test")):
        if split.startswith(beginning) and not set(split) & set("/,"):  # the comma parts splits in fairseq's arguments
            return ours
    raise UserError(f"split '{split}': fairseq goes by the name; call it train..., valid..., dev... or test...")


def manifest_row(source: Source, split: str) -> dict[str, Any]:
    """Give the row of MANIFEST that a recording makes; fairseq's tables know no sentence, speaker or text."""
    samples, suffix = probe(source.audio, f"recording '{source.recording_id}'")
    return {
        "utterance_id": source.recording_id,
        "sentence_id": source.pair_id,
        "lang": source.lang,
        "split": our_split(split),
        "speaker": "",
        "text": "",
        "audio": {"bytes": source.audio, "path": source.recording_id + suffix},
        "num_samples": samples,
    }


def read_sources(folder: Path, split: str) -> Iterator[tuple[Line, Source]]:
    """Read the lines of a table with their recordings; raises UserError with file and line for what does not fit."""
    our_split(split)
    root = audio_root(folder)
    for line in read_tsv(folder / f"{split}.tsv", COLUMNS, LANGUAGES):
        address = parse(line, "src_audio", root)
        audio = read(line, address)
        samples, _ = probe(audio, f"{line.where}: {address[0]}")
        check_count(line, "src_n_frames", samples // SAMPLES_PER_FRAME, "frames")
        recording_id = _recording_id(line.values["src_audio"], address[0])
        lang, target_lang = (line.values.get(column, "") for column in LANGUAGES)
        yield line, Source(line.values["id"], recording_id, audio, lang, target_lang)


def _recording_id(address: str, path: Path) -> str:
    """Undo the name that we give to files; elsewhere it is the file's name, as in fairseq's scripts."""
    name = PurePosixPath(address)
    return str(name.relative_to(AUDIO).with_suffix("")) if name.is_relative_to(AUDIO) else path.stem


def audio_root(folder: Path) -> Path:
    """Give the folder that the paths of a folder's tables are relative to."""
    return Path(read_config(folder / CONFIG).audio_root)


def parse(line: Line, column: str, root: Path) -> Address:
    """Give the file that a value names, and the part of it; raises UserError."""
    address = line.values[column]
    try:
        path, place = parse_address(address)
    except ValueError:
        raise UserError(f"{line.where}: {column} {address!r} is no file nor zip:offset:length; mend it") from None
    return root / path, place


def read(line: Line, address: Address) -> bytes:
    """Read what a line names; raises UserError."""
    try:
        return read_slice(*address)
    except OSError as error:
        where = f"{line.where}: cannot read {address[0]}"
        raise UserError(f"{where} ({error.strerror}); mend the line, or audio_root in {CONFIG}") from None


def probe(audio: bytes, what: str) -> tuple[int, str]:
    """Give the number of samples and the suffix of a file; raises UserError for what fairseq would misread."""
    try:
        info = soundfile.info(io.BytesIO(audio))
    except soundfile.LibsndfileError:
        raise UserError(f"{what} is no audio; leave it out") from None
    if info.format not in SUFFIXES or info.samplerate != SAMPLE_RATE or info.channels != 1:
        found = f"{info.format}, {info.samplerate} Hz, {info.channels} channels"
        raise UserError(f"{what} is {found}; convert it to FLAC or WAV, {SAMPLE_RATE} Hz, mono")
    if info.frames < WINDOW:
        raise UserError(f"{what} has {info.frames} samples, fewer than one frame of features; leave it out")
    return info.frames, SUFFIXES[info.format]


def check_count(line: Line, column: str, true: int, of: str) -> None:
    """Raise UserError unless a value is the true number."""
    if count(line, column) != true:
        raise UserError(f"{line.where}: {column} is {line.values[column]}, but there are {true} {of}; mend it")
