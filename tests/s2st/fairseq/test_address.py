import zipfile

import pytest

from s2st.fairseq.address import parse_address, read_address


def test_audio_is_read_from_files_and_stored_zips(tmp_path):
    (tmp_path / "a.flac").write_bytes(b"sound")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.write(tmp_path / "a.flac", "a.flac")
    offset = (tmp_path / "all.zip").read_bytes().index(b"sound")
    assert read_address(f"{tmp_path}/a.flac", None) == b"sound"
    assert read_address(*parse_address(f"{tmp_path}/all.zip:{offset}:5")) == b"sound"


@pytest.mark.parametrize("address", ["a.flac", "a:1:2.wav", "all.zip:1", "all.zip:-1:2", "s3://bucket/a.wav"])
def test_what_names_no_part_is_a_whole_file(address):
    assert parse_address(address) == (address, None)
