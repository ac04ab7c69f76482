"""Normalised units, with models that hear the same unit in everything."""

import pytest

from pipelines import normalize_units
from pipelines.normalize_units import NormalizeUnitsConfig
from s2st.config import UserError
from s2st.schemas import UNITS
from stages import datasets
from stages.stage import Step


def normalise(folder, normalizer="units_heard"):
    inputs = {"manifest": ["manifest"], "normalizer": [normalizer]}
    step = Step("normalised", "pipelines.normalize_units", str(folder), {}, inputs)
    config = NormalizeUnitsConfig(max_workers=1)
    normalize_units.check_inputs(config, step)
    return normalize_units.run(config, step)


def test_normalised_units_are_one_a_frame(ctc_run, local_ray):
    counts = normalise(ctc_run)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (5, 4, 1)
    for row in datasets.read_table(f"{ctc_run}/normalised", UNITS).to_pylist():
        frames = 24  # of 8000 samples, 650 of which a frame sees
        assert row["units"] == [2] * frames
        assert row["durations"] == [frames]
        assert (row["codebook"], row["layer"], len(row["encoder"])) == ("hubert-9-1", 1, 16)


def test_speech_in_which_no_unit_is_heard_is_set_aside(ctc_run, save_ctc, local_ray):
    units = {"labels": "units", "languages": ["en"], "codebook": "hubert-9-1"}
    save_ctc(f"{ctc_run}/deaf", ("0",), -4, units)
    with pytest.raises(UserError, match="holds no rows"):
        normalise(ctc_run, "deaf")
    assert {r["reason"] for r in datasets.rejects(f"{ctc_run}/normalised")} >= {"the normaliser hears no unit in it"}


def test_a_normaliser_hears_units_at_their_rate(ctc_run, save_ctc):
    with pytest.raises(UserError, match="letters hears letters; name a model that was trained on units"):
        normalise(ctc_run, "letters")
    units = {"labels": "units", "languages": ["en"], "codebook": "mfcc-0-1"}
    save_ctc(f"{ctc_run}/slow", ("0",), 0, units)
    with pytest.raises(UserError, match="the units have 100 frames a second, but .*slow makes one of 320 samples"):
        normalise(ctc_run, "slow")
