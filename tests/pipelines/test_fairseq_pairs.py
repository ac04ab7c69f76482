import pyarrow as pa
import pytest

from s2st.config import UserError
from s2st.fairseq.binarized import IndexedSequences
from s2st.schemas import PAIRS
from stages import datasets


@pytest.mark.parametrize(
    ("format", "dictionary"), [("text", "number"), ("binarized", "number"), ("binarized", "frequency")]
)
def test_exported_pairs_are_imported_as_they_were(a_run, format, dictionary, exchange, rows_of):
    inputs = {"pairs": "pairs", "codebook": "codebook"}
    counts = exchange(a_run, {"write": [format], "dictionary": dictionary}, "theirs", **inputs)
    assert counts.rows_in == 8
    folders = [(a_run / "theirs" / format / f"{a}-{b}", a, b) for a, b in (("en", "hi"), ("hi", "en"))]
    given = [{"format": format, "path": str(path), "source_lang": a, "target_lang": b} for path, a, b in folders]
    back = exchange(a_run, {"read_pairs": given}, "ours", codebook="codebook")
    assert (back.rows_in, back.rows_out) == (counts.rows_out, counts.rows_out)
    refused = {row["utterance_id"] for row in datasets.rejects(f"{a_run}/theirs")}
    expected = [row for row in rows_of(a_run / "pairs", PAIRS, "pair_id") if row["pair_id"] not in refused]
    assert rows_of(a_run / "ours", PAIRS, "pair_id") == expected
    assert len(refused) == counts.rejects
    assert dictionary == "frequency" or not refused


def test_pairs_with_a_unit_that_training_never_had_are_rejects(a_run, exchange, rows_of):
    rows = rows_of(a_run / "pairs", PAIRS, "pair_id")
    for row in rows:
        row["source_units"], row["target_units"] = [1, 2], [3, 19 if row["split"] == "test" else 4]
    datasets.write_table(pa.Table.from_pylist(rows, PAIRS), f"{a_run}/few")
    counts = exchange(a_run, {"write": ["binarized"], "dictionary": "frequency"}, "theirs", pairs="few")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 6, 2)
    rejects = datasets.rejects(f"{a_run}/theirs")
    assert {row["reason"] for row in rejects} == {
        "unit 19 is not in the dictionary, which lists the units of the training split"
    }
    assert not (a_run / "theirs/binarized/en-hi/test.src-tgt.src.idx").exists()


def test_pairs_without_a_sidecar_get_ids_and_are_reduced(tmp_path, exchange, rows_of):
    (tmp_path / "train.en").write_text("1 1 2\n3\n\n")
    (tmp_path / "train.hi").write_text("4\nx\n1\n")
    source = {"format": "text", "path": str(tmp_path), "source_lang": "en", "target_lang": "hi", "sides": ["en", "hi"]}
    settings = {"read_pairs": [source], "num_units": 5, "units_name": "mine"}
    counts = exchange(tmp_path, settings)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (3, 1, 2)
    (row,) = rows_of(tmp_path / "out", PAIRS, "pair_id")
    assert (row["pair_id"], row["source_utterance_id"]) == ("en-hi-train-1", "en-hi-train-1-source")
    assert (row["source_units"], row["target_units"], row["codebook"]) == ([1, 2], [4], "mine-0-5")
    reasons = {row["utterance_id"]: row["reason"] for row in datasets.rejects(f"{tmp_path}/out")}
    assert reasons == {"en-hi-train-2": "'x' is no unit", "en-hi-train-3": "there are no units"}


def test_a_side_without_the_other_is_not_left_out(a_run, exchange):
    exchange(a_run, {"write": ["text"]}, "theirs", pairs="pairs")
    (a_run / "theirs/text/en-hi/valid.src").unlink()
    source = {"format": "text", "path": f"{a_run}/theirs/text/en-hi", "source_lang": "en", "target_lang": "hi"}
    with pytest.raises(UserError, match="cannot read .*valid.src"):
        exchange(a_run, {"read_pairs": [source]}, "ours", codebook="codebook")


@pytest.mark.parametrize("name", ["dev.en", "valid1.hi"])
def test_a_split_of_another_name_is_not_left_out(tmp_path, exchange, name):
    for path in ("train.en", "train.hi", name):
        (tmp_path / path).write_text("1\n")
    source = {"format": "text", "path": str(tmp_path), "source_lang": "en", "target_lang": "hi", "sides": ["en", "hi"]}
    with pytest.raises(UserError, match=f"{name} would be left out: only train, valid, test are read; rename or move"):
        exchange(tmp_path, {"read_pairs": [source], "num_units": 5, "units_name": "mine"})


def test_tokens_of_a_unit_are_those_of_our_translator(a_run, exchange, rows_of):
    exchange(a_run, {"write": ["binarized"]}, pairs="pairs", codebook="codebook")
    first = IndexedSequences(a_run / "out/binarized/en-hi/train.src-tgt.src")[0]
    row = next(row for row in rows_of(a_run / "pairs", PAIRS, "pair_id") if row["source_lang"] == "en")
    assert first.tolist() == [*(unit + 4 for unit in row["source_units"]), 2]
