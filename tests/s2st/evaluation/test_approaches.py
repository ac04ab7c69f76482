import dataclasses

import pytest

from s2st.evaluation.approaches import COLUMNS, Approach, markdown

SCORES = {
    "content_words": 0.5,
    "content_words_interval": [0.4, 0.6],
    "bleu": 61.25,
    "sentences": 40,
    "chance": 0.25,
    "ceiling": 0.875,
    "recordings": 1.0,
}
UNITS = Approach(
    name="units",
    direction="hi-en",
    needs_text=False,
    parameters={"translator": 1_200_000, "vocoder": 300_000},
    trainings={"translator": 360.0, "vocoder": 90.0},
    gpu_seconds=0.0,
    trained_elsewhere=False,
    shared=("vocoder",),
    speed=0.0625,
    scores=SCORES,
    new_voice={**SCORES, "content_words": 0.125},
)


def cells(text, name):
    """Cells of the row of an approach, by column."""
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return dict(zip(COLUMNS, line.strip("| ").split(" | "), strict=True))


def test_each_approach_has_a_row_and_what_it_shares_is_named():
    text = markdown([UNITS])
    row = cells(text, "units")
    assert (row["needs text"], row["parameters"], row["CPU s per s of speech"]) == ("no", "1.50 M", "0.062")
    assert (row["training, core-min"], row["of that shared"]) == ("7.5", "1.5")
    assert row["content words [95%]"] == "0.50 [0.40, 0.60]"
    assert (row["of a new voice"], row["chance"], row["ceiling"], row["true recordings"]) == (
        *("0.12", "0.25", "0.88", "1.00"),
    )
    assert text.endswith("with their core-minutes: vocoder (1.5).\n")


def test_what_is_not_known_is_a_dash():
    hosted = dataclasses.replace(
        UNITS,
        name="hosted",
        needs_text=None,
        parameters={},
        trainings={},
        trained_elsewhere=True,
        shared=(),
        speed=None,
        new_voice=None,
    )
    text = markdown([hosted])
    row = cells(text, "hosted")
    assert [row[name] for name in ("needs text", "parameters", "CPU s per s of speech", "of a new voice")] == [
        *("–", "–", "–", "–"),
    ]
    assert row["training, core-min"] == "–"
    assert "share" not in text.splitlines()[-1]


def test_trainings_elsewhere_are_not_counted_as_none():
    row = cells(markdown([dataclasses.replace(UNITS, trained_elsewhere=True)]), "units")
    assert row["training, core-min"] == "7.5 and others'"


def test_unequal_numbers_of_sentences_are_told():
    fewer = dataclasses.replace(UNITS, name="speech", scores={**SCORES, "sentences": 38})
    other = dataclasses.replace(fewer, direction="en-hi")
    assert markdown([UNITS, fewer, other]).endswith("judged: units 40 (hi-en), speech 38 (hi-en).\n")
    assert "judged" not in markdown([UNITS, other])


@pytest.mark.parametrize(("scores", "shown"), [({}, "61.2"), ({"bleu_interval": [55.0, 66.5]}, "61.2 [55.0, 66.5]")])
def test_bleu_has_its_interval_where_there_is_one(scores, shown):
    text = markdown([dataclasses.replace(UNITS, scores={**SCORES, **scores})])
    assert cells(text, "units")["ASR-BLEU [95%]"] == shown


def test_directions_are_named_where_there_are_several():
    text = markdown([UNITS, dataclasses.replace(UNITS, direction="en-hi")])
    hindi, english = cells(text, "units, hi-en"), cells(text, "units, en-hi")
    assert hindi == {**english, "approach": "units, hi-en"}
