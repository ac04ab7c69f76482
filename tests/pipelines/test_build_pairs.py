import pytest

from pipelines.build_pairs import BuildPairsConfig, make_pairs, parse_directions, shuffled
from s2st.config import UserError


def utterance(name, sentence, lang, split="train", speaker=None, units=(1, 1, 2)):
    return {
        "utterance_id": name,
        "sentence_id": sentence,
        "lang": lang,
        "split": split,
        "speaker": speaker or f"voice-{lang}",
        "units": list(units),
        "codebook": "c",
    }


ROWS = [
    utterance("a-en", "a", "en"),
    utterance("a-hi", "a", "hi", units=(3, 3)),
    utterance("a-hi-2", "a", "hi"),
    utterance("b-en", "b", "en"),
    utterance("c-en", "c", "en", "test"),
    utterance("c-hi-new", "c", "hi", "test", speaker="stranger"),
    utterance("c-hi", "c", "hi", "test"),
]


def pairs_of(rows=ROWS, directions=(("en", "hi"), ("hi", "en")), **settings):
    return list(make_pairs(rows, list(directions), BuildPairsConfig(**settings)))


def test_recordings_of_a_sentence_are_paired_within_their_split():
    found = {(p["source_utterance_id"], p["target_utterance_id"]) for p in pairs_of() if p["split"] == "train"}
    assert found == {("a-en", "a-hi"), ("a-en", "a-hi-2"), ("a-hi", "a-en"), ("a-hi-2", "a-en")}


def test_units_are_reduced():
    pair = next(p for p in pairs_of() if p["target_utterance_id"] == "a-hi")
    assert (pair["source_units"], pair["target_units"]) == ([1, 2], [3])


def test_unheard_voices_are_no_targets_where_a_heard_voice_reads():
    test = [p for p in pairs_of() if p["split"] == "test"]
    assert "c-hi-new" in {p["source_utterance_id"] for p in test}
    assert "c-hi-new" not in {p["target_utterance_id"] for p in test}


def test_a_sentence_that_no_heard_voice_reads_keeps_its_targets():
    rows = [utterance("a-en", "a", "en"), utterance("b-en", "b", "en", "test", speaker="stranger")]
    rows.append(utterance("b-hi", "b", "hi", "test", speaker="another"))
    found = {p["target_utterance_id"] for p in pairs_of(rows)}
    assert found == {"b-en", "b-hi"}


def test_order_of_rows_changes_nothing():
    assert pairs_of(ROWS[::-1]) == pairs_of()


def test_pairs_are_shuffled_by_a_seed():
    pairs = [{"pair_id": str(i)} for i in range(50)]
    mixed = shuffled(pairs, 3)
    assert mixed != pairs
    assert mixed == shuffled(pairs, 3) != shuffled(pairs, 4)
    assert sorted(pair["pair_id"] for pair in mixed) == sorted(pair["pair_id"] for pair in pairs)


def test_a_sentence_of_many_readings_is_capped():
    rows = [utterance(f"a-{lang}-{i}", "a", lang) for lang in ("en", "hi") for i in range(6)]
    pairs = pairs_of(rows, [("en", "hi")], max_pairs_per_sentence=10)
    assert len({p["pair_id"] for p in pairs}) == 10


def test_directions():
    assert parse_directions((), ["en", "hi", "ko"])[:2] == [("en", "hi"), ("en", "ko")]
    assert parse_directions(("hi-en",), ["en", "hi"]) == [("hi", "en")]
    with pytest.raises(UserError, match="direction 'hi-fr': the units have no language 'fr'"):
        parse_directions(("hi-fr",), ["en", "hi"])
