import numpy as np
import pytest

from s2st.config import UserError
from s2st.fairseq.unit_files import (
    UnitFile,
    UnitsError,
    format_units,
    parse_units,
    read_labels,
    read_quantized,
    read_unit_folder,
    write_labels,
    write_quantized,
    write_unit_folder,
)

UNITS = [np.array(units, np.uint16) for units in ([7, 7, 0], [65_535], [3])]
MOST = 65_536


def test_units_become_text_and_come_back():
    for units in UNITS:
        assert parse_units(format_units(units), MOST).tolist() == units.tolist()
    assert parse_units("1 1", MOST).dtype == np.uint16


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there are no units"),
        ("1 <unk> 2", "'<unk>' is no unit"),
        ("1 -2", "'-2' is no unit"),
        ("1 2.0", "'2.0' is no unit"),
        ("1 ²", "'²' is no unit"),
        ("1 100", "unit 100 is not one of the 100 units 0 to 99"),
    ],
)
def test_what_is_no_unit_says_why(text, reason):
    with pytest.raises(UnitsError, match=reason):
        parse_units(text, 100)


def test_labels_come_back_in_order(tmp_path):
    write_labels(tmp_path / "train.km", UNITS)
    assert list(read_labels(tmp_path / "train.km", 3, "train.tsv")) == ["7 7 0", "65535", "3"]


@pytest.mark.parametrize("num_recordings", [2, 4])
def test_labels_of_another_manifest_are_refused(tmp_path, num_recordings):
    write_labels(tmp_path / "train.km", UNITS)
    message = f"train.km has 3 lines, but train.tsv names {num_recordings} recordings"
    with pytest.raises(UserError, match=message):
        list(read_labels(tmp_path / "train.km", num_recordings, "train.tsv"))


def test_quantized_names_are_kept_whole(tmp_path):
    rows = [("nava", UNITS[0]), ("clip_a", UNITS[1]), ("1.wav", UNITS[2])]
    write_quantized(tmp_path / "train.txt", rows)
    assert (tmp_path / "train.txt").read_text().startswith("nava|7 7 0\n")
    assert list(read_quantized(tmp_path / "train.txt")) == [(name, format_units(units)) for name, units in rows]


@pytest.mark.parametrize(
    ("text", "message"), [("1 2\n", "line 1 has no name"), ("a|1\na|2\n", "line 2 has the name 'a' of .*line 1")]
)
def test_quantized_files_without_names_or_with_one_twice_are_refused(tmp_path, text, message):
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        list(read_quantized(tmp_path / "train.txt"))


def test_a_name_that_would_split_the_line_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds '\|'"):
        write_quantized(tmp_path / "train.txt", [("a|b", UNITS[0])])


def row(name, units):
    columns = {"utterance_id": name, "sentence_id": "s", "lang": "en", "split": "", "speaker": "a", "num_samples": 400}
    return {**columns, "units": units}


def test_unit_folders_come_back_with_their_utterances(tmp_path):
    rows = [(UnitFile("good_day", "en", 0), row("u1", UNITS[0])), (UnitFile("good_day", "hi", 12), row("u2", UNITS[1]))]
    write_unit_folder(tmp_path, rows)
    assert (tmp_path / "good_day_en_0.unit").read_text() == "7 7 0\n"
    back = [(file, {**told, "units": text}) for file, told, text in read_unit_folder(tmp_path)]
    assert back == [(file, {**columns, "units": format_units(columns["units"])}) for file, columns in rows]
    (tmp_path / "ids.tsv").unlink()
    assert [told for _, told, _ in read_unit_folder(tmp_path)] == [{}, {}]


def test_unit_folders_that_cannot_be_read_say_why(tmp_path):
    with pytest.raises(UserError, match=r"there are no \.unit files"):
        list(read_unit_folder(tmp_path))
    (tmp_path / "a_en_1.unit").write_text("1\n2\n")
    with pytest.raises(UserError, match="a_en_1.unit has 2 lines"):
        list(read_unit_folder(tmp_path))
    (tmp_path / "a.unit").write_text("1\n")
    with pytest.raises(UserError, match=r"a\.unit does not tell its language"):
        list(read_unit_folder(tmp_path))


def test_two_utterances_of_one_file_are_refused(tmp_path):
    file = (UnitFile("a", "en", 0), row("u1", UNITS[0]))
    with pytest.raises(UserError, match="a_en_0.unit would hold two utterances"):
        write_unit_folder(tmp_path, [file, file])
