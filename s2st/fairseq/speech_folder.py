"""What both kinds of fairseq's speech_to_speech folders share: source recordings, tables of pairs, names of splits."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import soundfile

from s2st.audio import SAMPLE_RATE, WINDOW
from s2st.config import UserError
from s2st.fairseq.address import Place, parse_address, read_address
from s2st.fairseq.lines import check_language, check_local
from s2st.fairseq.speech_config import CONFIG, read_config
from s2st.fairseq.tsv import Line, count, read_tsv, write_tsv
from s2st.storage import write_bytes

COLUMNS = ("id", "src_audio", "src_n_frames", "tgt_audio", "tgt_n_frames")
LANGUAGES = ("src_lang", "tgt_lang")
AUDIO = "audio"
SAMPLES_PER_FRAME = 160  # fairseq's estimate of 10 ms frames, though each needs a whole window
SUFFIXES = {"FLAC": ".flac", "WAV": ".wav"}

Address = tuple[Path, Place]


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


def read_sources(folder: Path, split: str) -> Iterator[tuple[Line, Source]]:
    """Read the lines of a table with their recordings; raises UserError with file and line for what does not fit."""
    root = audio_root(folder)
    for line in read_table(folder, split):
        yield line, read_source(line, root)


def splits(folder: Path) -> list[str]:
    """Give fairseq's names of the splits that a folder has a table of; raises UserError if there is none."""
    found = sorted(path.stem for path in folder.glob("*.tsv"))
    if not found:
        raise UserError(f"there is no table such as train.tsv in {folder}; give the folder that holds them")
    return found


def read_table(folder: Path, split: str) -> list[Line]:
    """Read the lines of a table, but no audio; raises UserError with file and line for what does not fit."""
    our_split(split)
    return read_tsv(folder / f"{split}.tsv", COLUMNS, LANGUAGES)


def read_source(line: Line, root: Path) -> Source:
    """Read the recording of a line; raises UserError."""
    address = parse(line, "src_audio", root)
    audio = read(line, address)
    samples, _ = probe(audio, f"{line.where}: {address[0]}")
    check_count(line, "src_n_frames", samples // SAMPLES_PER_FRAME, "frames")
    lang, target_lang = (line.values.get(column, "") for column in LANGUAGES)
    return Source(line.values["id"], recording_id(line), audio, lang, target_lang)


def recording_id(line: Line) -> str:
    """Undo the name that we give to files; elsewhere it is the file's name, as in fairseq's scripts.

    Of the recordings in one zip, the place tells them apart.
    """
    address, place = parse_address(line.values["src_audio"])
    path = PurePosixPath(address)
    name = str(path.relative_to(AUDIO).with_suffix("")) if path.is_relative_to(AUDIO) else path.stem
    return f"{name}-{place[0]}" if place else name


def utterance_name(line: Line) -> str:
    """Name the recording of a line, folders joined by -, as names are in our datasets."""
    return recording_id(line).replace("/", "-")


def language(line: Line, column: str, given: str) -> str:
    """Give the language that a line names, or else the one given; raises UserError for none, two, and no code."""
    named = line.values.get(column, "")
    if named and given and named != given:
        raise UserError(f"{line.where}: {column} is '{named}', but the settings say lang={given}; remove lang")
    if not named and not given:
        raise UserError(f"{line.where}: no {column} tells the language; name it in the settings, as lang")
    return check_language(named or given, f"{line.where}: {column}")


def audio_root(folder: Path) -> Path:
    """Give the folder that the paths of a folder's tables are relative to; raises UserError for one in a bucket."""
    return Path(check_local(read_config(folder / CONFIG).audio_root, f"{folder / CONFIG}: audio_root"))


def parse(line: Line, column: str, root: Path) -> Address:
    """Give the file that a value names, and the part of it."""
    path, place = parse_address(line.values[column])
    return root / path, place


def read(line: Line, address: Address) -> bytes:
    """Read what a line names; raises UserError."""
    try:
        return read_address(str(address[0]), address[1])
    except (OSError, ValueError) as error:  # ValueError: a path that no system has
        where, errno = f"{line.where}: cannot read {address[0]}", getattr(error, "errno", None)
        reason = os.strerror(errno) if errno else error
        raise UserError(f"{where} ({reason}); mend the line, or audio_root in {CONFIG}") from None


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
