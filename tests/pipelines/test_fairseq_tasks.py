import pytest

from s2st.config import UserError
from s2st.fairseq.multitask import FISHER, read_multitask, words
from s2st.fairseq.speech_folder import COLUMNS, LANGUAGES
from s2st.fairseq.tsv import read_tsv
from stages import datasets

PAIRED = {"pairs": "pairs", "manifest": "texts", "codebook": "codebook"}


def tables(folder):
    """The ids of the pairs in the tables of a folder, by split."""
    found = {path.stem: read_tsv(path, COLUMNS, LANGUAGES) for path in folder.glob("*.tsv")}
    return {split: [line.values["id"] for line in lines] for split, lines in found.items()}


@pytest.mark.parametrize("format", ["s2ut", "s2spect"])
def test_auxiliary_tasks_hold_the_letters_of_the_pairs(a_run, format, exchange, with_texts):
    texts = with_texts(lambda lang, sentence: f"{lang} {sentence}"[:4])
    counts = exchange(a_run, {"write": [format], "multitask": True}, "theirs", **PAIRED)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    for direction in ("en-hi", "hi-en"):
        folder = a_run / "theirs" / format / direction
        ids = tables(folder)
        assert sorted(map(len, ids.values())) == [1, 1, 2]
        tasks = read_multitask(folder, list(ids))
        assert {name: task.settings for name, task in tasks.items()} == FISHER
        for name, task in tasks.items():
            assert {split: list(targets) for split, targets in task.targets.items()} == ids
            for pair_id, spelled in [pair for targets in task.targets.values() for pair in targets.items()]:
                source, target = pair_id.split("--")
                assert words(spelled) == texts[source if name == "source_letter" else target]


def test_pairs_that_no_task_can_learn_from_are_told_of_and_set_aside(a_run, capsys, exchange, with_texts):
    texts = {("hi", "a"): "", ("hi", "nava"): "letters " * 100, ("en", "nava"): "a|b", ("hi", "c"): "x " * 500}
    with_texts(lambda *recording: texts.get(recording, "so"))
    counts = exchange(a_run, {"write": ["s2ut", "s2spect"], "multitask": True}, "theirs", **PAIRED)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (16, 8, 8)
    reasons = {(row["utterance_id"], row["reason"]) for row in datasets.rejects(f"{a_run}/theirs")}
    assert ("u-en-a--u-hi-a", "s2ut/en-hi: the target has no text") in reasons
    assert ("u-hi-a--u-en-a", "s2spect/hi-en: the source has no text") in reasons
    bar = "the text of the source holds '|', which marks the end of words"
    assert ("u-en-nava--u-hi-nava", f"s2ut/en-hi: {bar}") in reasons
    told = capsys.readouterr().out
    assert "theirs: 2 of 4 pairs are not in s2ut/en-hi: the target has no text (1), the text of the source" in told
    assert "theirs: 1 pairs of validation and test in s2ut/en-hi have more letters than decoder_target_ctc" in told
    for format in ("s2ut", "s2spect"):
        assert sorted(tables(a_run / "theirs" / format / "en-hi")) == ["test", "valid"]
        read_multitask(a_run / "theirs" / format / "en-hi", ["test", "valid"])


def test_training_pairs_with_more_letters_than_steps_are_set_aside(a_run, exchange, with_texts):
    with_texts(lambda lang, sentence: "so it is " * 200)
    counts = exchange(a_run, {"write": ["s2spect"], "multitask": True}, "theirs", **PAIRED)
    assert counts.rejects == 4
    reasons = {row["reason"] for row in datasets.rejects(f"{a_run}/theirs")}
    assert reasons == {
        f"s2spect/{direction}: the target has more letters than decoder_target_ctc has steps"
        for direction in ("en-hi", "hi-en")
    }


def test_a_language_without_text_has_no_tasks(a_run, capsys, exchange, with_texts):
    with_texts(lambda lang, _: "so" if lang == "en" else "")
    counts = exchange(a_run, {"write": ["s2ut"], "multitask": True}, "theirs", **PAIRED)
    assert counts.rejects == 0
    assert list(read_multitask(a_run / "theirs/s2ut/en-hi", ["train"])) == ["source_letter"]
    assert list(read_multitask(a_run / "theirs/s2ut/hi-en", ["train"])) == ["target_letter", "decoder_target_ctc"]
    assert "hi-en has no text to learn source_letter from, so it comes without" in capsys.readouterr().out


def test_a_corpus_without_text_has_no_tasks(a_run, exchange):
    with pytest.raises(UserError, match="cannot write multitask: .*/manifest has no text at all; remove the setting"):
        exchange(a_run, {"write": ["s2ut"], "multitask": True}, **{**PAIRED, "manifest": "manifest"})
