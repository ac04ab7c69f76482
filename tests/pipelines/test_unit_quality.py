import numpy as np
import pyarrow as pa
import pytest

from pipelines.unit_quality import PHONES_FILE, UnitQualityConfig, align, check_inputs, measure, run
from s2st import storage
from s2st.config import UserError
from s2st.schemas import PHONES, UNIT_QUALITY, UNITS
from s2st.units import reduce
from stages import datasets
from stages.stage import Step

WORDS = {"s1": [1, 2, 3, 4, 2, 5], "s2": [5, 4, 1, 3, 2, 1]}  # phones of each sentence, of 100 ms each


def utterance(sentence, voice, units, codebook="hubert-4-1-abc", split="test", lang="en"):
    durations = reduce(np.array(units))[1]
    row = {"utterance_id": f"{sentence}-{lang}-{voice}", "sentence_id": sentence, "lang": lang, "split": split}
    row |= {"speaker": f"{voice}-{lang}", "units": units, "durations": durations, "num_samples": 320 * len(units) + 80}
    return row | {"encoder": "", "layer": 4, "codebook": codebook}


def phones_of(utterances):
    """The phones of WORDS, 1600 samples each."""
    return {
        u["utterance_id"]: ([f"p{p}" for p in WORDS[u["sentence_id"]]], [1600 * i for i in range(6)])
        for u in utterances
    }


def spoken(per_phone, voice_shift=0, **more):
    return [
        utterance(s, v, [p + shift for p in phones for _ in range(per_phone)], **more)
        for s, phones in WORDS.items()
        for v, shift in (("m", 0), ("f", voice_shift))
    ]


@pytest.mark.parametrize(("codebook", "per_phone"), [("hubert-4-1-abc", 5), ("mfcc-0-1-abc", 10)])
def test_units_that_follow_the_phones_are_perfect_at_both_rates(codebook, per_phone):
    """Frames belong to the phone at their middle, so the last ones of a phone, 12.5 ms early, are of the next."""
    rows = spoken(per_phone, codebook=codebook)
    hop = 1600 // per_phone
    for row in rows:
        middles = 200 + hop * np.arange(len(row["units"]))
        row["units"] = [WORDS[row["sentence_id"]][min(5, middle // 1600)] for middle in middles]
    scores = measure(rows, *align(rows, phones_of(rows)), 0)
    assert scores["pnmi"] == pytest.approx(1)
    assert (scores["phone_purity"], scores["cluster_purity"], scores["num_phones"]) == (1, 1, 5)
    assert (scores["num_units"], scores["num_utterances"], scores["num_frames"]) == (5, 4, 4 * 6 * per_phone)
    assert (scores["voice_pairs"], scores["same_sentence"]) == (2, 0)
    assert scores["other_sentence"] > 0.5


def test_units_of_the_voice_are_told_and_phones_may_be_missing():
    rows = spoken(5, voice_shift=10)
    scores = measure(rows, *align(rows, {}), 0)
    assert "pnmi" not in scores
    assert scores["same_sentence"] == 1 > scores["other_sentence"]
    one_voice = [row for row in rows if row["speaker"] == "m-en"]
    alone = measure(one_voice, *align(one_voice, phones_of(rows[:1])), 0)
    assert "same_sentence" not in alone
    assert alone["pnmi"] > 0.5


def test_utterances_without_phones_are_left_out_and_one_phone_tells_nothing():
    rows = spoken(5)
    first, second = rows[0]["utterance_id"], rows[1]["utterance_id"]
    silent = {first: (["sil"], [0]), second: ([], [])}
    alone = measure(rows, *align(rows, silent), 0)
    assert "pnmi" not in alone
    assert "num_phones" not in alone
    known = measure(rows, *align(rows, {**phones_of(rows[2:]), second: ([], [])}), 0)
    assert known["num_phones"] == 5


@pytest.fixture
def folder(tmp_path):
    """Units of two sections in two languages and splits, and phones of English test sentences."""
    for section, shift in (("units_1", 10), ("units_2", 0)):
        rows = spoken(5, shift) + spoken(5, shift, lang="hi") + [utterance("s3", "m", [9] * 5, split="train")]
        datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{tmp_path}/{section}")
    table = [
        {"utterance_id": name, "lang": "en", "split": "test", "phones": phones, "starts": starts, "num_samples": 9680}
        for name, (phones, starts) in phones_of(spoken(5)).items()
    ]
    datasets.write_table(pa.Table.from_pylist(table, PHONES), f"{tmp_path}/phones")
    return tmp_path


def step_of(folder, **inputs):
    return Step("quality", "pipelines.unit_quality", str(folder), {}, inputs)


def test_each_section_has_a_row_a_language_and_train_is_left_out(folder):
    step = step_of(folder, units=["units_1", "units_2"], phones=["phones"])
    check_inputs(UnitQualityConfig(), step)
    counts = run(UnitQualityConfig(), step)
    assert (counts.rows_in, counts.rows_out) == (2 * 8, 4)
    rows = datasets.read_table(step.output, UNIT_QUALITY).to_pylist()
    assert [(row["units"], row["lang"], row["num_units"]) for row in rows] == [
        ("units_1", "en", 10),
        ("units_1", "hi", 10),
        ("units_2", "en", 5),
        ("units_2", "hi", 5),
    ]
    assert [row["pnmi"] is None for row in rows] == [False, True, False, True]
    assert rows[2]["same_sentence"] == 0
    scores = storage.read_json(f"{step.output}/_scores.json")
    assert scores["units_2"]["en"]["pnmi"] == rows[2]["pnmi"]
    assert scores["units_2"]["en"]["kind"] == "hubert layer 4"
    by_section = storage.read_json(f"{step.output}/{PHONES_FILE}")
    assert {section: list(by_language) for section, by_language in by_section.items()} == {
        "units_1": ["en"],
        "units_2": ["en"],
    }
    counts = by_section["units_2"]["en"]
    assert [next(iter(counts[unit])) for unit in "12345"] == ["p1", "p2", "p3", "p4", "p5"]  # the most frequent first
    assert sum(sum(of_phones.values()) for of_phones in counts.values()) == rows[2]["num_frames"]


def test_a_split_without_rows_is_told(folder):
    with pytest.raises(UserError, match="section 'quality': .*/units_1 has no rows of the split 'validation'"):
        check_inputs(UnitQualityConfig("validation"), step_of(folder, units=["units_1"]))
    with pytest.raises(UserError, match="/phones has no rows of the split 'train'"):
        check_inputs(UnitQualityConfig("train"), step_of(folder, units=["units_1"], phones=["phones"]))
    with pytest.raises(ValueError, match="split=dev"):
        UnitQualityConfig("dev")
