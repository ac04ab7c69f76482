import pytest

from s2st.config import UserError
from s2st.fairseq.utterances import find, read_utterances, table_of, write_utterances

ROW = {"sentence_id": "s", "utterance_id": "u", "lang": "en", "split": "test", "speaker": "", "num_samples": 16_000}


def test_rows_come_back_by_their_names(tmp_path):
    path = table_of(tmp_path / "train.km")
    assert path == tmp_path / "train.ids.tsv"
    assert read_utterances(path) is None
    rows = {"a": ROW, "b c": {**ROW, "utterance_id": "v", "split": "", "num_samples": 0}}
    write_utterances(path, rows.items())
    assert read_utterances(path) == rows
    assert path.read_text().startswith("name\tsentence_id\tutterance_id\tlang\tsplit\tspeaker\tnum_samples\n")


@pytest.mark.parametrize(
    "text", ["", "आम, C:\\temp\\new", "a tab\tand\r\na line", r"\t is no tab, \\n no line", "\u2028\x85"]
)
def test_texts_come_back_whatever_they_hold(tmp_path, text):
    write_utterances(tmp_path / "ids.tsv", [("a", {**ROW, "text": text})])
    assert read_utterances(tmp_path / "ids.tsv") == {"a": {**ROW, "text": text}}


def test_what_is_left_blank_is_not_told(tmp_path):
    columns = ("utterance_id", "lang", "split", "speaker", "num_samples", "text")
    (tmp_path / "ids.tsv").write_text(
        "\t".join(["name", "sentence_id", *columns]) + "\na\tb" + "\t" * len(columns) + "\n"
    )
    (row,) = read_utterances(tmp_path / "ids.tsv").values()
    assert {name for name, value in row.items() if value} == {"sentence_id"}


def test_two_columns_are_enough(tmp_path):
    (tmp_path / "ids.tsv").write_text("sentence_id\tname\ngood day\tclip7\n")
    table = read_utterances(tmp_path / "ids.tsv")
    assert find(table, "clip7", tmp_path) == {"sentence_id": "good day"}
    assert find(None, "clip7", tmp_path) == {}
    with pytest.raises(UserError, match="ids.tsv does not name 'clip8', which is beside it"):
        find(table, "clip8", tmp_path / "ids.tsv")


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("name\tsentence", "a\tb", "line 1: the columns are .*, and may be .*'speaker', 'num_samples', 'text'. too"),
        ("name\tsentence_id", "a\t", "line 2: 'a' has no sentence_id"),
        ("name\tsentence_id\tsplit", "a\tb\tdev", "line 2: the split is 'dev'; name it train, validation, test"),
        ("name\tsentence_id\tlang", "a\tb\t../x", "line 2: '../x' is no language"),
        ("name\tsentence_id\tutterance_id", "a\tb\tu\nc\td\tu", "line 3 has the utterance_id 'u' of .*line 2; rename"),
        ("name\tsentence_id\tnum_samples", "a\tb\t1.5", "line 2: num_samples is '1.5', not a whole number"),
    ],
)
def test_tables_that_cannot_be_used_are_named(tmp_path, header, line, message):
    (tmp_path / "ids.tsv").write_text(f"{header}\n{line}\n")
    with pytest.raises(UserError, match=message):
        read_utterances(tmp_path / "ids.tsv")
