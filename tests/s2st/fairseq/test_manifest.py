import zipfile

import pytest

from s2st.config import UserError
from s2st.fairseq.manifest import Entry, read_audio, read_manifest, write_manifest


def test_a_manifest_comes_back_as_it_was(tmp_path):
    entries = [Entry("b/nava.wav", 16_000), Entry("a.flac", 401), Entry("all.zip:10:20", 5)]
    write_manifest(tmp_path / "train.tsv", "/data/wavs", entries)
    assert read_manifest(tmp_path / "train.tsv") == ("/data/wavs", entries)
    assert (tmp_path / "train.tsv").read_text().splitlines()[:2] == ["/data/wavs", "b/nava.wav\t16000"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("nava.wav", "nava"),  # fairseq's quantizer makes "n" of it
        ("clip_a.wav", "clip_a"),
        ("en/train/1.flac", "en-train-1"),
        ("clip.v1.wav", "clip.v1"),
        ("all.zip:10:20", "all.zip:10:20"),
    ],
)
def test_names_lose_their_suffix_and_nothing_else(path, name):
    assert Entry(path, 1).name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must name the folder of the recordings on its first line"),
        ("a.wav\t100\n", "must name the folder of the recordings on its first line"),
        ("/data\na.wav\n", r"line 2 has 1 fields instead of 2"),
        ("/data\na.wav\t100\t7\n", r"line 2 has 3 fields instead of 2"),
        ("/data\na.wav\t100\nb.wav\t3.2\n", r"line 3: '3.2' is no number of samples; give whole samples, not seconds"),
        ("/data\na.wav\t100\na.flac\t100\n", r"line 3 has the name 'a' of .*line 2"),
    ],
)
def test_malformed_manifests_are_refused_by_line(tmp_path, text, message):
    (tmp_path / "train.tsv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_manifest(tmp_path / "train.tsv")


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*train.tsv: No such file"):
        read_manifest(tmp_path / "train.tsv")


@pytest.mark.parametrize("path", ["a\tb.flac", "../a.flac", "/a.flac", "a\nb.flac", ""])
def test_paths_that_a_manifest_cannot_carry_are_refused(tmp_path, path):
    with pytest.raises(UserError, match="rename it"):
        write_manifest(tmp_path / "train.tsv", "/data", [Entry(path, 1)])


def test_audio_is_read_from_files_and_stored_zips(tmp_path):
    (tmp_path / "a.flac").write_bytes(b"sound")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as file:
        file.write(tmp_path / "a.flac", "a.flac")
    offset = (tmp_path / "all.zip").read_bytes().index(b"sound")
    assert read_audio(str(tmp_path), "a.flac") == read_audio(str(tmp_path), f"all.zip:{offset}:5") == b"sound"
