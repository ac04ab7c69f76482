import pickle
import sys
from typing import Any

import numpy as np
import pytest

from s2st import audio
from s2st.config import UserError, build
from s2st.corpora.phrasebook import Phrasebook, PhrasebookConfig

SMALL = {"num_sentences": 40, "num_test": 6, "num_validation": 4}


def small(**settings: Any) -> Phrasebook:
    return Phrasebook(PhrasebookConfig(**{**SMALL, **settings}))


def test_shards_count_languages_splits_voices_and_renderings() -> None:
    book = small(languages=("en", "hi", "ko"), train_voices=2, unseen_voices=1, renderings=3)
    rows: dict[tuple[str, str], int] = {}
    for shard in book.shards():
        rows[shard.lang, shard.split] = rows.get((shard.lang, shard.split), 0) + shard.rows
    for lang in ("en", "hi", "ko"):
        assert rows[lang, "train"] == 30 * 2 * 3
        assert rows[lang, "validation"] == 4 * 2
        assert rows[lang, "test"] == 6 * (2 + 1)


def test_long_splits_make_several_shards() -> None:
    shards = [s for s in Phrasebook(PhrasebookConfig(num_sentences=470)).shards() if s.split == "train"]
    assert [s.rows for s in shards if s.lang == "en"] == [100, 100, 70]


def test_read_gives_each_row_with_speech_that_decodes() -> None:
    book = small(renderings=2, unseen_voices=2)
    ids: set[str] = set()
    texts: dict[tuple[str, str], set[str]] = {}
    speakers: dict[str, set[str]] = {"train": set(), "validation": set(), "test": set()}
    for shard in pickle.loads(pickle.dumps(book.shards())):
        recordings = list(pickle.loads(pickle.dumps(book)).read(shard))
        assert len(recordings) == shard.rows
        for recording in recordings:
            assert recording.reject is None
            assert 0.5 < len(audio.decode(recording.audio)) / audio.SAMPLE_RATE < 5
            assert (recording.lang, recording.split) == (shard.lang, shard.split)
            ids.add(recording.utterance_id)
            speakers[recording.split].add(recording.speaker)
            texts.setdefault((recording.lang, recording.text), set()).add(recording.split)
    assert len(ids) == sum(shard.rows for shard in book.shards())
    assert all(len(splits) == 1 for splits in texts.values())
    assert speakers["train"] == speakers["validation"] == {"espeak-en-m7", "espeak-hi-m7"}
    assert speakers["test"] - speakers["train"] == {
        f"espeak-{lang}-{variant}" for lang in ("en", "hi") for variant in ("m3", "steph")
    }


def test_phones_are_beside_the_same_recordings() -> None:
    book = small(languages=("hi",), renderings=2)
    shard = book.shards()[0]
    for recording, (same, phones) in zip(book.read(shard), book.read_phones(shard), strict=True):
        assert same == recording
        assert len({phone.name for phone in phones}) > 5


def test_seen_and_unseen_voices_never_meet() -> None:
    book = Phrasebook(PhrasebookConfig(train_voices=16, unseen_voices=4))
    seen, test = book.variants("train"), book.variants("test")
    assert test[: len(seen)] == seen
    assert len(set(test)) == len(test) == 20
    assert book.shards()


def test_renderings_differ_and_repeat_exactly() -> None:
    book = small(languages=("en",), renderings=2)
    shard = next(shard for shard in book.shards() if shard.split == "train")
    first, again = list(book.read(shard)), list(book.read(shard))
    assert [r.audio for r in first] == [r.audio for r in again]
    assert first[0].sentence_id == first[1].sentence_id
    assert first[0].utterance_id != first[1].utterance_id
    plain, varied = audio.decode(first[0].audio), audio.decode(first[1].audio)
    assert not np.array_equal(plain, varied)
    assert abs(len(varied) / len(plain) - 1) < 0.12


def test_growing_the_corpus_keeps_what_was_held_out() -> None:
    small_splits, large_splits = small().splits(), small(num_sentences=90).splits()
    assert small_splits["test"] == large_splits["test"]
    assert small_splits["validation"] == large_splits["validation"]
    assert set(small_splits["train"]) < set(large_splits["train"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_sentences": 10}, "num_sentences .10. must exceed num_test . num_validation .10."),
        ({"num_test": -1}, "must not be negative"),
        ({"train_voices": 0}, "at least 1"),
        ({"renderings": 0}, "at least 1"),
        ({"train_voices": 99}, "train_voices is 99, but the phrasebook has 16"),
        ({"unseen_voices": 99}, "unseen_voices is 99, but the phrasebook has 4"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(PhrasebookConfig, {**SMALL, **settings}, "ingest.phrasebook")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"languages": ("en", "fr")}, "no language 'fr'; it has en, hi, ko"),
        ({"languages": ("en", "en")}, "named twice"),
        ({"num_sentences": 10**6}, "num_sentences is 1000000, but the phrasebook has"),
    ],
)
def test_shards_refuse_what_the_book_lacks(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        small(**settings).shards()


def test_missing_espeak_is_told_before_any_worker_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        small().shards()
