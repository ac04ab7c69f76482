import numpy as np
import pytest

from s2st.config import UserError
from s2st.fairseq.parallel_text import IDS, read_ids, read_parallel_text, write_parallel_text


def pair(n):
    names = {name: f"{name}-{n}" for name in IDS}
    return {**names, "source_units": np.array([n, 7], np.uint16), "target_units": [n + 1]}


def test_pairs_come_back_with_their_ids(tmp_path):
    write_parallel_text(tmp_path, "train", [pair(1), pair(2)])
    assert (tmp_path / "train.src").read_text() == "1 7\n2 7\n"
    assert list(read_parallel_text(tmp_path, "train")) == [("1 7", "2"), ("2 7", "3")]
    assert read_ids(tmp_path, "train", 2) == [{name: f"{name}-{n}" for name in IDS} for n in (1, 2)]


def test_without_a_sidecar_there_are_no_ids(tmp_path):
    assert read_ids(tmp_path, "train", 2) is None


@pytest.mark.parametrize("longer", ["src", "tgt"])
def test_sides_of_other_lengths_are_refused(tmp_path, longer):
    write_parallel_text(tmp_path, "train", [pair(1)])
    with open(tmp_path / f"train.{longer}", "a") as file:
        file.write("5\n")
    with pytest.raises(UserError, match=f"train.{longer} has more lines than"):
        list(read_parallel_text(tmp_path, "train"))


def test_ids_of_another_corpus_are_refused(tmp_path):
    write_parallel_text(tmp_path, "train", [pair(1)])
    with pytest.raises(UserError, match="names 1 pairs, but there are 2"):
        read_ids(tmp_path, "train", 2)
    (tmp_path / "train.ids.tsv").write_text("\t".join(IDS) + "\na\tb\n")
    with pytest.raises(UserError, match="line 2 has not 4 fields"):
        read_ids(tmp_path, "train", 1)
    (tmp_path / "train.ids.tsv").write_text("a\tb\n")
    with pytest.raises(UserError, match="line 1 must be the names pair_id"):
        read_ids(tmp_path, "train", 1)
