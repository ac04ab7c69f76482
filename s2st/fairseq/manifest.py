"""fairseq's manifest: a .tsv with the folder of the recordings on its first line, then a recording a line.

    /data/wavs
    en/clip.flac<TAB>48000              path below the folder, number of samples (not seconds)
    more.zip:1024:20480<TAB>16000       or bytes 1024 to 21504 of an uncompressed zip

Source: examples/wav2vec/wav2vec_manifest.py, HubertDataset.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from s2st.config import UserError
from s2st.fairseq.lines import check_name, read_lines, write_lines

SPLITS = {"train": "train", "validation": "valid", "test": "test"}  # our name of a split -> fairseq's
TAB = "\t"


@dataclass(frozen=True)
class Entry:
    """A recording of a manifest."""

    path: str  # below the manifest's folder
    num_samples: int

    @property
    def name(self) -> str:
        """The path without its suffix, folders joined by -: "en/clip.v1.wav" -> "en-clip.v1".

        fairseq's quantizer strips letters instead of the suffix and turns "nava.wav" into "n".
        """
        return re.sub(r"\.[A-Za-z0-9]+$", "", self.path).replace("/", "-")


def read_manifest(path: str | Path) -> tuple[str, list[Entry]]:
    """Read a .tsv: the folder of its recordings, and these in the order of lines.

    Raises UserError for a file without a first line, a line that has not two fields, and a name that comes twice.
    """
    lines = read_lines(path)
    where, folder = next(lines, ("", ""))
    if not folder or "\t" in folder:
        raise UserError(f"{path} must name the folder of the recordings on its first line, and nothing else there")
    entries: list[Entry] = []
    first: dict[str, str] = {}
    for where, line in lines:
        fields = line.split("\t")
        if len(fields) != 2:
            raise UserError(f"{where} has {len(fields)} fields instead of 2; write path<TAB>number of samples")
        if not re.fullmatch(r"[0-9]{1,18}", fields[1].strip()):
            raise UserError(f"{where}: '{fields[1][:20]}' is no number of samples; give whole samples, not seconds")
        entry = Entry(fields[0], int(fields[1]))
        if first.setdefault(entry.name, where) != where:
            raise UserError(f"{where} has the name '{entry.name}' of {first[entry.name]}; rename one of the recordings")
        entries.append(entry)
    return folder, entries


def write_manifest(path: str | Path, folder: str, entries: Iterable[Entry]) -> None:
    """Write a .tsv of recordings below `folder`, in the order given."""
    if not folder or set("\t\r\n") & set(folder):
        raise UserError(f"the folder {folder!r} cannot be the first line of {path}; rename it")
    write_lines(path, [folder, *(f"{check_name(entry.path, TAB)}\t{entry.num_samples}" for entry in entries)])


def recording_id(lang: str, split: str, name: str) -> str:
    """Make the utterance_id of a recording that has only a name: files of two languages may have the same names."""
    return "-".join(filter(None, (lang, split, name)))


def split_name(split: str) -> str:
    """Name the files of a split as fairseq does: "valid" for validation, "all" where there are no splits."""
    return SPLITS.get(split, split or "all")
