from pipelines.report import choose, heard_where_any, summary


def row(pair, voices, source="hi", target="en"):
    return {"pair_id": pair, "voices": voices, "source_lang": source, "target_lang": target}


def test_sentences_are_of_voices_that_training_heard_where_a_direction_has_any():
    rows = [row("a", "seen"), row("b", "unseen"), row("c", "unseen", "en", "hi")]
    assert [kept["pair_id"] for kept in heard_where_any(rows)] == ["a", "c"]


def test_listening_is_spread_over_each_direction():
    rows = [row(f"{i:02}", "seen") for i in range(10)] + [row("z", "unseen", "en", "hi")]
    assert [chosen["pair_id"] for chosen in choose(rows, 3)] == ["z", "00", "04", "09"]


def test_the_summary_holds_unheard_voices_and_other_units_apart():
    scored = [{"hi-en": {"unseen": {"content_words": 0.2}}}, {"hi-en": {"seen": {"content_words": 0.3}}}]
    assert summary(["hubert layer 4", "mfcc"], scored) == {
        "hi-en": {
            "units": "hubert layer 4",
            "unseen_voices": {"content_words": 0.2},
            "other_units": {"mfcc": {"seen": {"content_words": 0.3}}},
        }
    }
