from collections import Counter
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from s2st import pairing
from s2st.config import UserError, build
from s2st.pairing import FILTERS, KEPT, PairingConfig, arrange, make_pairs, parse_directions, split_sentences, unpaired


def recording(name, lang="en", split="train", seconds=5.0, speaker=""):
    """A row of sentence a for the name a or a-2."""
    sentence = name.split("-")[0]
    return {
        "utterance_id": f"{name}-{lang}",
        "sentence_id": sentence,
        "lang": lang,
        "split": split,
        "speaker": speaker or f"voice-{lang}",
        "codebook": "c",
        "seconds": seconds,
    }


def paired(rows, directions=(), **settings):
    """Pair rows; gives the names of the pairs, the counts of each direction, and the reasons of the rejects."""
    config = PairingConfig(directions=directions, **settings)
    languages = sorted({row["lang"] for row in rows})
    table, rejects = split_sentences(pa.Table.from_pylist(rows), config)
    recordings = arrange(table, languages, config)
    parsed = parse_directions(directions, languages)
    pairs = make_pairs(recordings, parsed, config)
    rejects += unpaired(recordings, pairs)
    names = np.array(recordings.table["utterance_id"].to_pylist())
    verdicts = zip(parsed, pairs.verdicts.tolist(), strict=True)
    counts = {"-".join(d): dict(zip((*FILTERS, "kept"), found, strict=True)) for d, found in verdicts}
    kept = list(zip(names[pairs.source].tolist(), names[pairs.target].tolist(), strict=True))
    assert pairs.verdicts[:, KEPT].sum() == len(kept) == len(set(kept))
    assert len({name for pair in kept for name in pair}) + len(rejects) == len(rows)
    return kept, counts, {row["utterance_id"]: row["reason"] for row in rejects}


def splits_of(rows, **settings):
    table, _ = split_sentences(pa.Table.from_pylist(rows), PairingConfig(**settings))
    return {(row["sentence_id"], row["split"]) for row in table.to_pylist()}


def many(num_sentences=60, split="train"):
    """Sentences with none to three recordings in each of three languages."""
    random = np.random.default_rng(0)
    return [
        recording(f"{sentence:03}-{reading}", lang, split)
        for sentence, lang in product(range(num_sentences), ("en", "hi", "ko"))
        for reading in range(random.integers(4))
    ]


def test_every_recording_meets_every_one_of_its_sentence_in_another_language():
    rows = many()
    readings = Counter((row["sentence_id"], row["lang"]) for row in rows)
    expected = sum(
        readings[sentence, a] * readings[sentence, b]
        for sentence in {row["sentence_id"] for row in rows}
        for a, b in product(("en", "hi", "ko"), repeat=2)
        if a != b
    )
    kept, counts, _ = paired(rows)
    assert len(kept) == expected == sum(count["kept"] for count in counts.values())
    assert all(a.split("-")[0] == b.split("-")[0] and a[-2:] != b[-2:] for a, b in kept)


def test_batches_and_the_order_of_rows_change_nothing(monkeypatch):
    rows = many()
    before = paired(rows, max_pairs_per_sentence=2)
    monkeypatch.setattr(pairing, "BATCH_PAIRS", 7)
    assert paired(rows[::-1], max_pairs_per_sentence=2) == before


def test_a_sentence_of_many_readings_is_capped_by_a_seed():
    rows = [recording(f"{sentence}-{i}", lang) for sentence in "ab" for lang in ("en", "hi") for i in range(6)]
    kept, counts, _ = paired(rows, ("en-hi",), max_pairs_per_sentence=10)
    assert Counter(source[0] for source, _ in kept) == {"a": 10, "b": 10}
    assert counts["en-hi"]["max_pairs_per_sentence"] == 2 * (36 - 10)
    assert paired(rows, ("en-hi",), max_pairs_per_sentence=10, seed=1)[0] != kept


def test_filters_take_from_training_and_validation_and_are_counted():
    rows = []
    for split in ("train", "validation", "test"):
        for name, english, hindi in [("ok", 5, 6), ("short", 0.5, 5), ("long", 31, 29), ("uneven", 2, 6.1)]:
            rows += [recording(name + split, "en", split, english), recording(name + split, "hi", split, hindi)]
    kept, counts, rejects = paired(rows)
    expected = dict.fromkeys(FILTERS, 0) | {"min_seconds": 2, "max_seconds": 2, "max_ratio": 2}
    assert counts == {"en-hi": {**expected, "kept": 6}, "hi-en": {**expected, "kept": 6}}
    assert {source.split("-")[0] for source, _ in kept} == {
        *("oktrain", "okvalidation"),
        *("oktest", "shorttest", "longtest", "uneventest"),  # a test set does not depend on filters
    }
    assert rejects["shorttrain-hi"] == "its pairs were taken by min_seconds"
    assert rejects["unevenvalidation-en"] == "its pairs were taken by max_ratio"


def test_a_recording_whose_pairs_are_taken_by_several_filters_names_them():
    rows = [recording("a"), recording("a-1", "hi", seconds=0.1), recording("a-2", "hi", seconds=40)]
    assert paired(rows)[2]["a-en"] == "its pairs were taken by min_seconds, max_seconds"


def test_recordings_without_a_partner_say_why():
    rows = [recording("a"), recording("b"), recording("b", "ko"), recording("c"), recording("c", "hi")]
    assert paired(rows, ("en-hi",))[2] == {
        "a-en": "no partner in another language",
        "b-en": "no partner in the directions asked for",
        "b-ko": "no partner in the directions asked for",
    }


HEARD = [
    recording("a", "en"),
    recording("a", "hi"),
    recording("b", "en", "test"),
    recording("b", "hi", "test"),
    recording("b-new", "hi", "test", speaker="stranger"),
    recording("c", "en", "test"),
    recording("c", "hi", "test", speaker="stranger"),
]


def test_unheard_voices_are_no_targets_where_a_heard_voice_reads():
    kept, counts, _ = paired(HEARD, heard_targets=True)
    assert {target for source, target in kept if source == "b-en"} == {"b-hi"}
    assert ("b-new-hi", "b-en") in kept
    assert ("c-en", "c-hi") in kept  # no heard voice reads it
    assert (counts["en-hi"]["heard_targets"], counts["hi-en"]["heard_targets"]) == (1, 0)
    assert ("b-en", "b-new-hi") in paired(HEARD)[0]


def test_a_target_speaker_is_the_only_voice_of_its_language_in_targets():
    kept, counts, _ = paired(HEARD, target_speakers={"hi": "stranger"})
    assert {target for _, target in kept if target.endswith("hi")} == {"b-new-hi", "c-hi"}
    assert {source for source, target in kept if target == "b-en"} == {"b-hi", "b-new-hi"}  # sources are free
    assert (counts["en-hi"]["target_speakers"], counts["hi-en"]["target_speakers"]) == (2, 0)
    with pytest.raises(UserError, match=r"target_speakers: the units have no speaker 'voice-en' of 'hi'"):
        paired(HEARD, target_speakers={"hi": "voice-en"})


def test_own_splits_are_kept_and_others_are_made_by_sentence():
    rows = [recording(f"{i:03}", lang, "") for i in range(500) for lang in ("en", "hi")]
    rows += [recording("own", "en", "test"), recording("own", "hi", "")]
    splits = splits_of(rows)
    assert len(splits) == 501  # no sentence is in two
    assert ("own", "test") in splits
    share = Counter(split for _, split in splits)["validation"] / 500
    assert 0.06 < share < 0.14
    assert splits == splits_of(rows[::-1])
    assert splits <= splits_of([*rows, recording("new", "en", "")])
    assert splits != splits_of(rows, seed=1)
    assert {split for _, split in splits_of(rows[:-2], validation_share=0)} == {"train"}


@pytest.mark.parametrize(
    ("one", "other", "kept"), [("train", "test", "test"), ("validation", "train", "validation"), ("test", "", "test")]
)
def test_a_sentence_in_two_splits_stays_where_figures_need_it(one, other, kept):
    rows = [recording("a", "en", one), recording("a", "hi", other), recording("a-2", "hi", kept)]
    rows.append(recording("a-2", "en", kept))
    assert splits_of(rows) == {("a", kept)}
    misplaced = [f"a-{row['lang']}" for row in rows[:2] if row["split"] not in ("", kept)]
    reason = f"the sentence is in two splits, and is kept in {kept} alone"
    assert paired(rows)[2] == dict.fromkeys(misplaced, reason)


def test_directions():
    assert parse_directions((), ["en", "hi", "ko"])[:2] == [("en", "hi"), ("en", "ko")]
    assert parse_directions(("hi-en",), ["en", "hi"]) == [("hi", "en")]
    with pytest.raises(UserError, match="direction 'hi-fr': the units have no language 'fr'"):
        parse_directions(("hi-fr",), ["en", "hi"])


def test_an_unknown_split_is_refused():
    with pytest.raises(UserError, match="a split 'dev'; name it train, validation, test"):
        splits_of([recording("a", split="dev")])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation_share": 1}, "below 1"),
        ({"min_seconds": 31}, "min_seconds=31.0 is above max_seconds=30.0"),
        ({"max_ratio": 0.5}, "takes every pair"),
        ({"max_pairs_per_sentence": 0}, "leave it out"),
        ({"directions": ["en-hi", "en_hi"]}, "'en_hi' is no direction; write two languages with - between them"),
        ({"directions": ["hi-"]}, "'hi-' is no direction"),
        ({"directions": ["hi-hi"]}, "'hi-hi' goes nowhere"),
        ({"directions": ["hi-en", "hi-en"]}, "'hi-en' .* is named twice; name two languages, once"),
    ],
)
def test_settings_that_leave_nothing_are_refused(settings, message):
    with pytest.raises(UserError, match=f"pairs: .*{message}"):
        build(PairingConfig, settings, "pairs")
