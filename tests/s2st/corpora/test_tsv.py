import pytest

from s2st import audio
from s2st.config import UserError
from s2st.corpora.tsv import Tsv, TsvConfig, TsvFile
from s2st.fairseq.manifest import Entry, write_manifest


@pytest.fixture
def speech(tmp_path, tone):
    for path in ("en/a.wav", "en/b.wav", "hi/a.wav"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(audio.encode(tone, "WAV"))
    return tmp_path


def tsv(folder, lang, split, *names):
    path = folder / f"{lang}-{split}.tsv"
    write_manifest(path, str(folder / lang), [Entry(name, 16_000) for name in names])
    return TsvFile(str(path), lang, split)


def test_the_same_name_in_two_languages_is_a_sentence(speech):
    corpus = Tsv(TsvConfig((tsv(speech, "en", "train", "a.wav", "b.wav"), tsv(speech, "hi", "train", "a.wav"))))
    shards = corpus.shards()
    assert [shard.rows for shard in shards] == [2, 1]
    found = [recording for shard in shards for recording in corpus.read(shard)]
    ids = [(recording.utterance_id, recording.sentence_id) for recording in found]
    assert ids == [("en-train-a", "a"), ("en-train-b", "b"), ("hi-train-a", "a")]
    assert all(len(audio.decode(recording.audio)) == 16_000 for recording in found)


def test_a_file_that_is_not_there_is_a_reject(speech):
    corpus = Tsv(TsvConfig((tsv(speech, "en", "train", "lost.wav"),)))
    (recording,) = corpus.read(corpus.shards()[0])
    assert "the file cannot be read" in recording.reject


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("99999999999999999999:5", "the part ends at byte 100000000000000000004, and the file has 32044"),
        ("0:1000000000000", "the part ends at byte 1000000000000, and the file has 32044"),
        (f"{'9' * 5000}:5", ""),
        ("//x", ""),
    ],
)
def test_a_part_that_the_file_does_not_hold_is_a_reject(speech, part, reason):
    corpus = Tsv(TsvConfig((tsv(speech, "en", "train", f"a.wav:{part}", "b.wav"),)))
    broken, whole = corpus.read(corpus.shards()[0])
    assert f"the file cannot be read: {reason}" in broken.reject
    assert whole.reject is None


def test_a_folder_of_an_unknown_kind_is_refused_with_its_line(speech):
    write_manifest(speech / "x.tsv", "ftp://host/wavs", [Entry("a.wav", 16_000)])
    with pytest.raises(UserError, match="x.tsv, line 1: .*ftp.*; give the path or the bucket of the folder"):
        Tsv(TsvConfig((TsvFile(str(speech / "x.tsv"), "en", "train"),))).shards()


def test_a_sentence_in_two_splits_is_refused(speech):
    corpus = Tsv(TsvConfig((tsv(speech, "en", "train", "a.wav"), tsv(speech, "hi", "test", "a.wav"))))
    with pytest.raises(UserError, match="'a' is in two splits"):
        corpus.shards()


def test_a_language_that_would_be_another_folder_is_refused():
    with pytest.raises(UserError, match="lang of en.tsv: '../x' is no language"):
        TsvFile("en.tsv", "../x", "train")


def test_a_manifest_of_nothing_is_refused(speech):
    with pytest.raises(UserError, match="en-train.tsv lists no recordings"):
        Tsv(TsvConfig((tsv(speech, "en", "train"),))).shards()
