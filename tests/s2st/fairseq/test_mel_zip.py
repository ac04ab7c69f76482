import re
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from s2st.config import UserError
from s2st.fairseq.mel_zip import MelZipWriter, members, parse_address, parse_mel, read_slice


def mel(frames: int) -> np.ndarray:
    return np.full((frames, 80), frames, np.float32)


def test_each_spectrogram_lies_where_its_address_says(tmp_path):
    path = tmp_path / "logmelspec80.zip"
    lengths = {"a": 3, "ü/é": 1, "c d": 7}
    with MelZipWriter(path) as writer:
        addresses = {name: writer.add(name, mel(frames)) for name, frames in lengths.items()}
        assert writer.add("a", mel(3)) == addresses["a"]
    for name, address in addresses.items():
        file, place = parse_address(address)
        assert members(tmp_path / file)[place] == name
        np.testing.assert_array_equal(parse_mel(read_slice(tmp_path / file, place)), mel(lengths[name]))


def test_a_failure_leaves_no_file(tmp_path):
    path = tmp_path / "logmelspec80.zip"
    with suppress(KeyError), MelZipWriter(path) as writer:
        writer.add("a", mel(3))
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_compressed_members_are_refused(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", b"a" * 1000)
    with pytest.raises(UserError, match=re.escape("'a.npy' is compressed, which fairseq cannot read")):
        members(path)


def test_extra_fields_before_the_bytes_are_counted(tmp_path):
    """The zip program writes the time of each member there."""
    path = tmp_path / "x.zip"
    info = zipfile.ZipInfo("a.npy")
    info.extra = b"UT\x05\x00\x01\x00\x00\x00\x00"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(info, b"the bytes")
    ((place, name),) = members(path).items()
    assert (read_slice(path, place), name) == (b"the bytes", "a")
