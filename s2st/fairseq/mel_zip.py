"""Spectrograms in an uncompressed zip, where fairseq finds each by its offset and length: `file.zip:offset:length`."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from s2st.config import UserError
from s2st.features.speech_mel import NUM_MELS

MEL_ZIP = "logmelspec80.zip"
AUDIO_OR_FEATURES = (".npy", ".wav", ".flac", ".ogg")  # fairseq takes addresses that end so as whole files
LOCAL_HEADER = struct.Struct("<26xHH")  # ends with how long the member's name and its extra field are


class MelZipWriter:
    """Write spectrograms one after the other; the file appears when all are written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new = path.with_name(f"{path.name}.new")
        self._zip = zipfile.ZipFile(self._new, "w", zipfile.ZIP_STORED)
        self._written: dict[str, tuple[str, int]] = {}  # by id: address and checksum

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()
        if error is None:
            self._new.replace(self.path)
        else:
            self._new.unlink()

    def add(self, mel_id: str, mel: np.ndarray) -> str:
        """Write a spectrogram (T, 80), once if it comes again, and give its address; raises UserError."""
        problem = _problem(mel)
        if problem:
            raise UserError(f"the spectrogram of '{mel_id}' {problem}; leave it out")
        buffer = io.BytesIO()
        np.save(buffer, np.ascontiguousarray(mel))
        data = buffer.getvalue()
        checksum = zlib.crc32(data)
        if mel_id not in self._written:
            member = zipfile.ZipInfo(f"{mel_id}.npy")  # its date is 1980, so that the same rows give the same bytes
            self._zip.writestr(member, data)
            # fairseq counts the letters of the name here, which is wrong for all but ASCII
            offset = member.header_offset + LOCAL_HEADER.size + len(member.filename.encode())
            address = f"{self.path.name}:{offset}:{len(data)}"
            self._written[mel_id] = address, checksum
        address, first = self._written[mel_id]
        if checksum != first:
            raise UserError(f"'{mel_id}' names two different spectrograms; give each recording its own id")
        return address


def members(path: Path) -> dict[tuple[int, int], str]:
    """Give the id of each spectrogram or recording of a zip by its offset and length.

    Raises UserError for a file that is no zip, or holds compressed members: fairseq reads them as they lie.
    """
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            infos = archive.infolist()
            offsets = [_offset(file, info.header_offset) for info in infos]
    except FileNotFoundError:
        raise UserError(f"{path} is not there; put it where the table looks for it, or mend audio_root") from None
    except zipfile.BadZipFile:
        raise UserError(f"{path} is no zip, or is cut off; write it again") from None
    found = {}
    for info, offset in zip(infos, offsets, strict=True):
        if info.compress_type != zipfile.ZIP_STORED:
            raise UserError(f"{path}: '{info.filename}' is compressed, which fairseq cannot read; zip with -0")
        found[offset, info.file_size] = info.filename.rpartition(".")[0]
    return found


def parse_address(address: str) -> tuple[Path, tuple[int, int] | None]:
    """Split `file.zip:offset:length` into the file and where to read; a whole file has None. Raises ValueError."""
    if address.endswith(AUDIO_OR_FEATURES):
        return Path(address), None
    path, offset, length = address.rsplit(":", 2)
    if not (offset.isdecimal() and length.isdecimal()):
        raise ValueError(address)
    return Path(path), (int(offset), int(length))


def read_slice(path: Path, place: tuple[int, int] | None) -> bytes:
    """Read a file, or the part of it at (offset, length); raises FileNotFoundError."""
    if place is None:
        return path.read_bytes()
    with path.open("rb") as file:
        file.seek(place[0])
        return file.read(place[1])


def parse_mel(data: bytes) -> np.ndarray:
    """Read a spectrogram (T, 80) from the bytes of its .npy file; raises ValueError, which says what is wrong."""
    try:
        mel = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise ValueError("is no .npy file") from None
    problem = _problem(mel)
    if problem:
        raise ValueError(problem)
    return mel


def _problem(mel: np.ndarray) -> str:
    """Say what is wrong with a spectrogram, if anything."""
    if mel.ndim != 2 or mel.shape[1] != NUM_MELS or len(mel) == 0:
        return f"has the shape {mel.shape}, not frames x {NUM_MELS}"
    if mel.dtype != np.float32:
        return f"holds {mel.dtype}, not float32"
    return "" if np.isfinite(mel).all() else "holds values that are not numbers"


def _offset(file: BinaryIO, header: int) -> int:
    """Where the bytes of the member begin whose local header is at `header`."""
    file.seek(header)
    return header + LOCAL_HEADER.size + sum(LOCAL_HEADER.unpack(file.read(LOCAL_HEADER.size)))
