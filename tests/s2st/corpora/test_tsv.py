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


def test_a_table_beside_the_manifest_tells_sentences_and_speakers(speech):
    files = (tsv(speech, "en", "train", "a.wav", "b.wav"), tsv(speech, "hi", "train", "a.wav"))
    (speech / "en-train.ids.tsv").write_text("name\tsentence_id\tutterance_id\tspeaker\na\ts1\tu1\tann\nb\ts2\tu2\t\n")
    (speech / "hi-train.ids.tsv").write_text("name\tsentence_id\na\ts2\n")
    corpus = Tsv(TsvConfig(files))
    found = [recording for shard in corpus.shards() for recording in corpus.read(shard)]
    assert [(recording.utterance_id, recording.sentence_id, recording.speaker) for recording in found] == [
        ("u1", "s1", "ann"),
        ("u2", "s2", "fairseq-en"),
        ("hi-train-a", "s2", "fairseq-hi"),
    ]


def test_tables_that_contradict_are_refused(speech):
    files = (tsv(speech, "en", "train", "a.wav"), tsv(speech, "hi", "test", "a.wav"))
    (speech / "en-train.ids.tsv").write_text("name\tsentence_id\tsplit\na\ts1\ttest\n")
    with pytest.raises(UserError, match="en-train.tsv: 'a' has split test in the table beside it, not train; mend"):
        Tsv(TsvConfig(files)).shards()
    (speech / "en-train.ids.tsv").write_text("name\tsentence_id\tnum_samples\na\ts1\t5\n")
    with pytest.raises(UserError, match="'a' has num_samples 5 in the table beside it, not 16000; mend .tsv or table"):
        Tsv(TsvConfig(files)).shards()
    (speech / "en-train.ids.tsv").write_text("name\tsentence_id\nb\ts1\n")
    with pytest.raises(UserError, match="en-train.ids.tsv does not name 'a', which is beside it"):
        Tsv(TsvConfig(files)).shards()


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


def test_a_sentence_that_tables_put_in_two_splits_is_left_to_pairing(speech):
    files = (tsv(speech, "en", "train", "a.wav"), tsv(speech, "hi", "test", "a.wav"))
    for lang, split in (("en", "train"), ("hi", "test")):
        (speech / f"{lang}-{split}.ids.tsv").write_text("name\tsentence_id\na\ts1\n")
    corpus = Tsv(TsvConfig(files))
    found = [recording for shard in corpus.shards() for recording in corpus.read(shard)]
    assert [(recording.sentence_id, recording.split) for recording in found] == [("s1", "train"), ("s1", "test")]


def test_an_utterance_that_comes_twice_is_refused_before_any_audio_is_read(speech):
    files = (tsv(speech, "en", "train", "a.wav"), tsv(speech, "hi", "train", "a.wav"))
    with pytest.raises(UserError, match="'en-train-a' comes twice .in .*en-train.tsv and .*en-train.tsv.; give each"):
        Tsv(TsvConfig((files[0], files[0]))).shards()
    for lang in ("en", "hi"):
        (speech / f"{lang}-train.ids.tsv").write_text("name\tsentence_id\tutterance_id\na\ts1\tu1\n")
    with pytest.raises(UserError, match="'u1' comes twice .in .*en-train.tsv and .*hi-train.tsv.; give each file"):
        Tsv(TsvConfig(files)).shards()


def test_a_language_that_would_be_another_folder_is_refused():
    with pytest.raises(UserError, match="lang of en.tsv: '../x' is no language"):
        TsvFile("en.tsv", "../x", "train")


def test_a_manifest_of_nothing_is_refused(speech):
    with pytest.raises(UserError, match="en-train.tsv lists no recordings"):
        Tsv(TsvConfig((tsv(speech, "en", "train"),))).shards()
