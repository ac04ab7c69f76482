import json

import pyarrow as pa
import pytest

from pipelines.compare_voices import CompareVoicesConfig, run
from s2st.config import UserError
from s2st.schemas import UNITS
from stages import datasets
from stages.stage import Step


def row(sentence, speaker, units, lang="en", split="test"):
    return {
        "utterance_id": f"{sentence}-{lang}-{speaker}",
        "sentence_id": sentence,
        "lang": lang,
        "split": split,
        "speaker": speaker,
        "units": units,
    }


def scores_of(folder, **datasets_of_units):
    for name, rows in datasets_of_units.items():
        datasets.write_table(pa.Table.from_pylist(rows, schema=UNITS), f"{folder}/{name}")
    inputs = {"units": list(datasets_of_units)}
    step = Step("voices", "pipelines.compare_voices", str(folder), {}, inputs)
    run(CompareVoicesConfig(), step)
    return json.loads((folder / "voices" / "_scores.json").read_text())


def test_voices_are_compared_within_sentences_and_with_others(tmp_path):
    raw = [
        row("s", "a", [1, 1, 2, 3, 4]),
        row("s", "b", [1, 2, 2, 3, 5]),  # one of four is another
        row("t", "a", [6, 7, 8, 9]),
        row("t", "c", [6, 7, 8, 9]),
        row("u", "a", [6]),
        row("s", "b", [5, 6], split="train"),
        row("s", "a", [5, 6], lang="hi"),
    ]
    normalised = [{**r, "units": raw[0]["units"] if r["sentence_id"] == "s" else r["units"]} for r in raw]
    scores = scores_of(tmp_path, units=raw, normalised=normalised)
    assert scores["units"]["en"]["pairs"] == 4
    assert scores["units"]["en"]["same_sentence"] == pytest.approx(2 / 16)
    assert scores["normalised"]["en"]["same_sentence"] == 0
    assert scores["normalised"]["en"]["other_sentence"] > 0.5
    assert "hi" not in scores["units"]


def test_one_voice_cannot_be_compared(tmp_path):
    with pytest.raises(UserError, match="no sentence of units is said by two voices in test"):
        scores_of(tmp_path, units=[row("s", "a", [1]), row("t", "a", [1])])
