"""What is to be heard in recordings: letters of any script, units of a reference speaker."""

from trainers.ctc_targets import Targets, fitting, letters, reference_units


def row(utterance_id, text="", lang="en", split="train", speaker="a", sentence_id="s", num_samples=16_000):
    return {
        "utterance_id": utterance_id,
        "sentence_id": sentence_id,
        "lang": lang,
        "split": split,
        "speaker": speaker,
        "text": text,
        "num_samples": num_samples,
    }


def test_letters_of_any_script() -> None:
    rows = [row("1", "Ab a!"), row("2", "मेरी"), row("3", "한국"), row("4", "?!"), row("5", "cab", split="validation")]
    targets = letters(rows)
    assert {" ", "a", "b", "म", "ी", "ᄒ"} <= set(targets.symbols)
    assert "c" not in targets.symbols  # no training text has it
    spelled = {
        found["utterance_id"]: "".join(targets.symbols[label - 4] if label > 3 else "?" for label in found["units"])
        for found in targets.rows
    }
    assert spelled == {"1": "ab a", "2": "मेरी", "3": "\u1112\u1161\u11ab\u1100\u116e\u11a8", "5": "?ab"}
    assert [(reject["utterance_id"], reject["reason"]) for reject in targets.rejects] == [
        ("4", "its text has no letters")
    ]


def test_units_are_those_of_the_reference_speaker() -> None:
    spoken = [
        {**row("a2", speaker="a"), "units": [9]},
        {**row("a1", speaker="a"), "units": [5, 5, 6, 5]},
        {**row("b1", speaker="b"), "units": [1, 2]},
        {**row("h1", speaker="a", lang="hi"), "units": [7]},
    ]
    rows = [row("a1"), row("b1", speaker="b"), row("c1", sentence_id="t"), row("h1", lang="hi")]
    targets = reference_units(rows, spoken, {"en": "a"}, 10)
    assert targets.symbols == tuple("0123456789")
    assert {found["utterance_id"]: found["units"] for found in targets.rows} == {"a1": [9, 10, 9], "b1": [9, 10, 9]}
    assert [reject["utterance_id"] for reject in targets.rejects] == ["c1", "h1"]


def test_what_ctc_cannot_say_is_left_out() -> None:
    rows = [
        {"utterance_id": str(frames), "num_samples": 400 + 320 * (frames - 1), "units": [4, 5, 5, 6]}
        for frames in (4, 5, 50, 51)
    ]
    kept = fitting(Targets((), rows, []), 400, 320, max_samples=400 + 320 * 49)
    assert [found["utterance_id"] for found in kept.rows] == ["5", "50"]  # 4 labels, and a blank between two
    assert [reject["reason"].split(" than")[0] for reject in kept.rejects] == [
        "it is too short for what is to be heard in it",
        "it is longer",
    ]
