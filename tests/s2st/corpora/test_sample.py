from pathlib import Path

import pytest

from s2st import audio
from s2st.config import UserError
from s2st.corpora import sample
from s2st.corpora.corpus import SPLITS
from s2st.corpora.sample import Sample, SampleConfig

DATA = Path(sample.__file__).with_name("sample_data")


def test_the_sample_is_431_sentences_in_three_languages() -> None:
    shards = Sample(SampleConfig()).shards()
    for config in ("en_us", "es_419", "fr_fr"):
        rows = [sum(s.rows for s in shards if (s.config, s.split) == (config, split)) for split in SPLITS]
        assert rows == [310, 73, 48]


def test_recordings_decode_and_share_sentence_ids() -> None:
    corpus = Sample(SampleConfig())
    test = [r for shard in corpus.shards() if shard.split == "test" for r in corpus.read(shard)]
    assert len({recording.utterance_id for recording in test}) == len(test)
    sentences = {
        lang: {recording.sentence_id for recording in test if recording.lang == lang} for lang in ("en", "es", "fr")
    }
    assert sentences["en"] == sentences["es"] == sentences["fr"]
    assert {recording.speaker for recording in test if recording.lang == "fr"} == {"sample-fr-female"}
    for recording in test[::12]:
        assert recording.reject is None
        assert recording.utterance_id.startswith("sample-")
        assert recording.text
        assert audio.decode(recording.audio).std() > 0.005


def test_no_english_text_is_in_two_splits() -> None:
    corpus = Sample(SampleConfig(("en",)))
    splits: dict[str, set[str]] = {}
    for shard in corpus.shards():
        for recording in corpus.read(shard):
            splits.setdefault(recording.text, set()).add(recording.split)
    assert all(len(found) == 1 for found in splits.values())


def test_other_languages_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="languages there: en_us, es_419, fr_fr"):
        Sample(SampleConfig(("en", "hi"))).shards()


def test_licence_and_credits_are_beside_the_files_and_no_file_is_large() -> None:
    assert "Attribution-ShareAlike 3.0" in (DATA / "LICENSE").read_text()
    assert "Allison Smith" in (DATA / "CREDITS.md").read_text()
    sizes = [path.stat().st_size for path in DATA.rglob("*") if path.is_file()]
    assert max(sizes) < 4 << 20
    assert sum(sizes) < 15_000_000
