import numpy as np
import pytest

from s2st.config import UserError
from s2st.fairseq.binarized import IndexedSequences, write_indexed

SEQUENCES = [np.array(tokens) for tokens in ([4, 5, 2], [2], [9, 2])]


@pytest.mark.parametrize("dictionary_size", [100, 70_000])
def test_sequences_come_back(tmp_path, dictionary_size):
    write_indexed(tmp_path / "a", SEQUENCES, dictionary_size)
    read = IndexedSequences(tmp_path / "a")
    assert [read[i].tolist() for i in range(len(read))] == [tokens.tolist() for tokens in SEQUENCES]
    assert read.kind == ("<u2" if dictionary_size == 100 else "<u4")


def test_a_corpus_of_nothing(tmp_path):
    write_indexed(tmp_path / "a", [], 100)
    assert len(IndexedSequences(tmp_path / "a")) == 0


def damage(path, function):
    path.write_bytes(function(path.read_bytes()))


@pytest.mark.parametrize(
    ("file", "function", "message"),
    [
        ("a.idx", lambda data: b"TNTIDX" + data[6:], "is no memory-mapped index"),
        ("a.idx", lambda data: data[:12], "is no memory-mapped index"),
        ("a.idx", lambda data: data[:-1], "promises 3 sequences, but is cut"),
        ("a.idx", lambda data: data[:17] + b"\x07" + data[18:], "tokens of type 7"),
        ("a.idx", lambda data: data[:26] + b"\xff" * 4 + data[30:], "is shorter than"),
        ("a.bin", lambda data: data[:-1], "a.bin is shorter than"),
    ],
)
def test_damaged_files_are_refused(tmp_path, file, function, message):
    write_indexed(tmp_path / "a", SEQUENCES, 100)
    damage(tmp_path / file, function)
    with pytest.raises(UserError, match=message):
        IndexedSequences(tmp_path / "a")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*a.idx"):
        IndexedSequences(tmp_path / "a")
