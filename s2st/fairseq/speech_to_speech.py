"""fairseq's speech_to_speech task, both ways: recordings to units (S2UT) and to spectrograms (S2SPECT).

A folder is written whole, all splits at once, `config.yaml` last. The recordings lie in audio/, the spectrograms
in logmelspec80.zip. Formats: examples/speech_to_speech/docs/direct_s2st_discrete_units.md of fairseq.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from s2st import audio, units
from s2st.config import UserError
from s2st.fairseq import mel_zip
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.speech_config import CONFIG, DICTIONARY, s2spect_config, s2ut_config, write_config
from s2st.fairseq.speech_folder import FolderWriter, Source, audio_root, check_count, parse, read, read_sources
from s2st.fairseq.tsv import Line
from s2st.features.speech_mel import speech_log_mel, to_mel_rate


@dataclass(frozen=True)
class UnitPair:
    source: Source
    units: tuple[int, ...]  # of the target


@dataclass(frozen=True)
class MelPair:
    source: Source
    mel_id: str  # names the target's recording; pairs may share it
    mel: np.ndarray  # (T, 80) float32, of speech_mel.speech_log_mel


def unit_pairs(pairs: Iterable[Mapping[str, Any]], recordings: Mapping[str, Mapping[str, Any]]) -> Iterator[UnitPair]:
    """Make pairs of rows of PAIRS and of MANIFEST by utterance_id; raises UserError for a recording not there."""
    for pair in pairs:
        yield UnitPair(_source(pair, recordings), tuple(pair["target_units"]))


def mel_pairs(pairs: Iterable[Mapping[str, Any]], recordings: Mapping[str, Mapping[str, Any]]) -> Iterator[MelPair]:
    """Make pairs of rows of PAIRS and of MANIFEST by utterance_id; raises UserError for a recording not there."""
    for pair in pairs:
        target = _recording(pair, "target_utterance_id", recordings)
        try:
            waveform = audio.decode(target["audio"]["bytes"])
        except audio.AudioError as error:
            raise UserError(f"pair '{pair['pair_id']}': of its target, {error}; leave it out") from None
        yield MelPair(_source(pair, recordings), target["utterance_id"], speech_log_mel(to_mel_rate(waveform)).numpy())


def write_s2ut(folder: Path, splits: Mapping[str, Iterable[UnitPair]], num_units: int, reduce: bool) -> dict[str, int]:
    """Write pairs by fairseq's name of the split, for --target-is-code --target-code-size `num_units`.

    `reduce` joins runs of a unit; stacked models (--n-frames-per-step 5) want one a frame, hence units that were never
    reduced. Of more than one target language the decoder is told by a tag: dict.txt holds the units and one tag a
    language.

    Gives the number of pairs of each split; raises UserError for what fairseq would misread.
    """
    config = s2ut_config(str(folder.absolute()))
    writer = FolderWriter(folder, list(splits))
    for split, pairs in splits.items():
        rows = []
        for pair in pairs:
            sequence = _checked(pair.units, num_units, f"pair '{pair.source.pair_id}'")
            if reduce:
                sequence = units.reduce(sequence)[0]
            rows.append(writer.row(pair.source, " ".join(map(str, sequence)), len(sequence)))
        writer.write_table(split, rows)
    languages = sorted(writer.target_languages)
    symbols = [*map(str, range(num_units)), *(f"<lang:{lang}>" for lang in languages if lang)]
    Dictionary.of(symbols).save(folder / DICTIONARY)
    write_config(folder / CONFIG, replace(config, language_first=len(languages) > 1))
    return writer.counts


def write_s2spect(folder: Path, splits: Mapping[str, Iterable[MelPair]]) -> dict[str, int]:
    """Write pairs by fairseq's name of the split; spectrograms that pairs share are written once.

    Gives the number of pairs of each split; raises UserError for what fairseq would misread.
    """
    config = s2spect_config(str(folder.absolute()))
    writer = FolderWriter(folder, list(splits))
    tables = {}
    with mel_zip.MelZipWriter(folder / mel_zip.MEL_ZIP) as mels:
        for split, pairs in splits.items():
            tables[split] = [writer.row(pair.source, mels.add(pair.mel_id, pair.mel), len(pair.mel)) for pair in pairs]
    for split, rows in tables.items():
        writer.write_table(split, rows)
    write_config(folder / CONFIG, config)
    return writer.counts


def read_s2ut(folder: Path, split: str, num_units: int) -> Iterator[UnitPair]:
    """Read the pairs of a table, ours or fairseq's; raises UserError with file and line for what does not fit."""
    for line, source in read_sources(folder, split):
        sequence = parse_target(line)
        yield UnitPair(source, tuple(_checked(sequence, num_units, _pair_of(line)).tolist()))


def parse_target(line: Line) -> np.ndarray:
    """Give the units (T,) of the target of a line; raises UserError for what is no units or another number of them."""
    sequence = _parse_units(line.values["tgt_audio"], _pair_of(line))
    check_count(line, "tgt_n_frames", len(sequence), "units")
    return sequence


def read_s2spect(folder: Path, split: str) -> Iterator[MelPair]:
    """Read the pairs of a table, ours or fairseq's; raises UserError with file and line for what does not fit."""
    members = cache(mel_zip.members)
    root = audio_root(folder)
    for line, source in read_sources(folder, split):
        path, place = address = parse(line, "tgt_audio", root)
        data = read(line, address)
        if place and place not in members(path):
            raise UserError(f"{line.where}: no member of {path} lies at {place}; use the zip that came with the table")
        try:
            mel = mel_zip.parse_mel(data)
        except ValueError as error:
            raise UserError(f"{line.where}: the target {error}; leave it out") from None
        check_count(line, "tgt_n_frames", len(mel), "frames")
        yield MelPair(source, members(path)[place] if place else path.stem, mel)


def _source(pair: Mapping[str, Any], recordings: Mapping[str, Mapping[str, Any]]) -> Source:
    recording = _recording(pair, "source_utterance_id", recordings)
    name, data = recording["utterance_id"], recording["audio"]["bytes"]
    return Source(pair["pair_id"], name, data, pair["source_lang"], pair["target_lang"])


def _recording(pair: Mapping[str, Any], column: str, recordings: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    if pair[column] not in recordings:
        raise UserError(f"pair '{pair['pair_id']}': the manifest has no recording '{pair[column]}'; give its own one")
    return recordings[pair[column]]


def _pair_of(line: Line) -> str:
    return f"{line.where}: pair '{line.values['id']}'"


def _parse_units(text: str, what: str) -> np.ndarray:
    try:
        sequence = np.array(text.split(" "), dtype=np.int64)
    except (ValueError, OverflowError):
        sequence = np.array([], dtype=np.int64)
    if not text or " ".join(map(str, sequence)) != text:  # to fairseq "07" is no unit but an unknown symbol
        raise UserError(f"{what} has a target that is not units with single blanks between; mend it")
    return sequence


def _checked(sequence: np.ndarray | tuple[int, ...], num_units: int, what: str) -> np.ndarray:
    values = np.asarray(sequence, dtype=np.int64)
    if not len(values):
        raise UserError(f"{what} has no units; leave it out")
    if values.min() < 0 or values.max() >= num_units:
        found = f"{values.min()} to {values.max()}"
        raise UserError(f"{what} has units {found}, outside 0 to {num_units - 1}; give the size of their codebook")
    return values
