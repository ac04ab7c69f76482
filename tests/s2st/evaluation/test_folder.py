import numpy as np
import pytest

from s2st import audio
from s2st.config import UserError
from s2st.evaluation import folder
from s2st.evaluation.protocols import protocol


@pytest.fixture
def speech(tmp_path, tone):
    """A folder in which two files are speech, one of them in a folder below, and all others are something else."""
    (tmp_path / "speech" / "more").mkdir(parents=True)
    sound, silence = audio.encode(tone, "WAV"), audio.encode(np.zeros_like(tone), "WAV")
    files = {"a": sound, "more/b": sound, "silent": silence, "empty": b"", "noise": b"no sound", "extra": sound}
    for name, data in files.items():
        (tmp_path / "speech" / f"{name}.wav").write_bytes(data)
    return str(tmp_path / "speech")


def references(tmp_path, lines):
    file = tmp_path / "refs.tsv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return str(file)


def hear_two_words(waveforms):
    return ["red books"] * len(waveforms)


def test_what_is_no_speech_is_scored_and_counted(tmp_path, speech):
    lines = [f"{each}\tred books" for each in ("a", "more/b", "silent", "empty", "noise", "lost")]
    texts = folder.read_references(references(tmp_path, ["id\ttext", *lines]))
    files, extra = folder.find_speech(speech, texts)
    rows = folder.hear_rows(hear_two_words, "en", folder.rows_to_hear(texts, files, {}))
    assert {row["utterance_id"]: row["problem"] for row in rows} == {
        "a": None,
        "empty": "empty",
        "lost": "missing",
        "more/b": None,
        "noise": "unreadable",
        "silent": "silent",
    }
    scores = folder.score_rows(rows, extra, protocol("plain", "en"), "judge")
    assert scores["word_error_rate"] == pytest.approx(4 / 6)
    assert scores["references"] == 6
    assert [scores[name] for name in (*folder.PROBLEMS, "extra")] == [1] * 5
    assert folder.told(scores).endswith("of 6 files 1 missing, 1 empty, 1 silent, 1 unreadable, 1 extra")
    assert "recordings_bleu" not in scores


def test_true_recordings_are_the_ceiling(tmp_path, speech, tone):
    texts = {"a": "red books", "more/b": "red books"}
    files, _ = folder.find_speech(speech, texts)
    recordings = folder.find_recordings(speech, texts)
    rows = folder.hear_rows(hear_two_words, "en", folder.rows_to_hear(texts, {"a": files["a"]}, recordings))
    scores = folder.score_rows(rows, [], protocol("plain", "en"), "judge")
    assert (scores["word_error_rate"], scores["judge_word_error_rate"]) == (0.5, 0)
    assert scores["duration_ratio"] == 0.5  # one of the two is missing
    assert rows[0]["reference_seconds"] == len(tone) / audio.SAMPLE_RATE
    with pytest.raises(UserError, match=r"speech has no lost.wav; the true speech of every reference must be there"):
        folder.find_recordings(speech, ["a", "lost"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a\tb"], "refs.tsv has no column 'id'"),
        (["id\twords", "a\tb"], "refs.tsv has no column 'text'"),
        (["id\ttext"], "has no references"),
        (["id\ttext", "a\t", "b\t "], "has nothing in its column 'text'"),
        (["id\ttext", "a"], "line 2: there is no text"),
        (["id\ttext", "a\tx", "a\ty"], "line 3: 'a' comes twice"),
    ],
)
def test_mistakes_in_references_are_told(tmp_path, lines, message):
    with pytest.raises(UserError, match=message):
        folder.read_references(references(tmp_path, lines))


def test_missing_tables_and_wrong_folders_are_told(tmp_path, speech):
    with pytest.raises(UserError, match="there is no file .*refs.tsv; name a table of references"):
        folder.read_references(str(tmp_path / "refs.tsv"))
    for where in (speech, str(tmp_path / "nowhere")):
        with pytest.raises(UserError, match=r"no file named after an id of the references, such as x.wav"):
            folder.find_speech(where, ["x", "y"])
