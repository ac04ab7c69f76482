"""Transcripts of a split, with models that hear the same letter or unit in everything."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipelines import normalize_units, transcribe
from pipelines.normalize_units import NormalizeUnitsConfig
from pipelines.transcribe import TranscribeConfig
from s2st import audio, checkpoint
from s2st.config import UserError
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.schemas import MANIFEST, TRANSCRIPTS, UNITS
from stages import datasets
from stages.stage import Step

ENCODER = EncoderConfig(
    conv_layers=((16, 10, 5), (16, 8, 8), (16, 8, 8)), width=32, num_layers=1, num_heads=2, ffn_dim=32
)


def save_model(folder, symbols, heard, info, encoder=ENCODER):
    """Write a model that hears the symbol number `heard` in every frame."""
    torch.manual_seed(0)
    model = HubertCtc(HubertCtcConfig(symbols, encoder))
    model.output.weight.data.zero_()
    model.output.bias.data[4 + heard] = 5.0
    checkpoint.save(folder, model, info)


@pytest.fixture
def a_run(tmp_path):
    """A run's folder: recordings of two languages, one of them broken, and a model of letters and one of units."""
    rows = []
    for number, (lang, text, split) in enumerate(
        [("en", "a", "test"), ("en", "A b", "test"), ("en", "a", "train"), ("hi", "म", "test"), ("ko", "한", "test")]
    ):
        waveform = np.random.default_rng(number).normal(0, 0.1, 8000).astype(np.float32)
        data = audio.encode(waveform)
        rows.append(
            {
                "utterance_id": f"u{number}",
                "sentence_id": f"s{number}",
                "lang": lang,
                "split": split,
                "speaker": "a",
                "text": text,
                "audio": {"bytes": data[:100] if lang == "hi" else data, "path": ""},
                "num_samples": len(waveform),
            }
        )
    datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{tmp_path}/manifest")
    save_model(f"{tmp_path}/letters", ("a", "b", " "), 0, {"labels": "letters", "languages": ["en", "hi"]})
    units = {"labels": "units", "languages": ["en"], "codebook": "hubert-9-1"}
    save_model(f"{tmp_path}/units_heard", ("0", "1", "2"), 2, units)
    return tmp_path


def hear(folder, recognizer="letters", **settings):
    inputs = {"manifest": ["manifest"], "recognizer": [recognizer]}
    step = Step("heard", "pipelines.transcribe", str(folder), settings, inputs)
    config = TranscribeConfig(max_workers=1, **settings)
    transcribe.check_inputs(config, step)
    return transcribe.run(config, step)


def test_a_split_is_heard_and_scored(a_run, local_ray):
    counts = hear(a_run)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (3, 2, 1)
    rows = datasets.read_table(f"{a_run}/heard", TRANSCRIPTS).to_pylist()
    assert {row["utterance_id"]: (row["text"], row["heard_text"]) for row in rows} == {
        "u0": ("a", "a"),
        "u1": ("A b", "a"),
    }
    (reject,) = datasets.rejects(f"{a_run}/heard")
    assert reject["utterance_id"] == "u3"
    scores = json.loads((a_run / "heard" / "_scores.json").read_text())
    assert set(scores) == {"en"}
    assert scores["en"]["recordings"] == 2
    assert scores["en"]["heard_text"] == pytest.approx({"word_error_rate": 1 / 3, "character_error_rate": 2 / 4})
    assert set(scores["en"]["beam_text"]) == {"word_error_rate", "character_error_rate"}


def test_mistakes_are_told(a_run):
    with pytest.raises(UserError, match="units_heard hears units and not letters"):
        hear(a_run, "units_heard")
    with pytest.raises(UserError, match="the validation split has no speech in en, hi"):
        hear(a_run, split="validation")


def normalise(folder, normalizer="units_heard"):
    inputs = {"manifest": ["manifest"], "normalizer": [normalizer]}
    step = Step("normalised", "pipelines.normalize_units", str(folder), {}, inputs)
    config = NormalizeUnitsConfig(max_workers=1)
    normalize_units.check_inputs(config, step)
    return normalize_units.run(config, step)


def test_normalised_units_are_one_a_frame(a_run, local_ray):
    counts = normalise(a_run)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (5, 4, 1)
    for row in datasets.read_table(f"{a_run}/normalised", UNITS).to_pylist():
        frames = (8000 - ENCODER.receptive_field) // 320 + 1
        assert row["units"] == [2] * frames
        assert row["durations"] == [frames]
        assert (row["codebook"], row["layer"], len(row["encoder"])) == ("hubert-9-1", 1, 16)


def test_speech_in_which_no_unit_is_heard_is_set_aside(a_run, local_ray):
    units = {"labels": "units", "languages": ["en"], "codebook": "hubert-9-1"}
    save_model(f"{a_run}/deaf", ("0",), -4, units)
    with pytest.raises(UserError, match="holds no rows"):
        normalise(a_run, "deaf")
    assert {r["reason"] for r in datasets.rejects(f"{a_run}/normalised")} >= {"the normaliser hears no unit in it"}


def test_a_normaliser_hears_units_at_their_rate(a_run):
    with pytest.raises(UserError, match="letters hears letters; name a model that was trained on units"):
        normalise(a_run, "letters")
    units = {"labels": "units", "languages": ["en"], "codebook": "mfcc-0-1"}
    save_model(f"{a_run}/slow", ("0",), 0, units)
    with pytest.raises(UserError, match="the units have 100 frames a second, but .*slow makes one of 320 samples"):
        normalise(a_run, "slow")
