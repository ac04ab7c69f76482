"""Every stage, one after the other, as `python -m recipes` runs them."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from recipes.__main__ import run_recipe
from s2st import audio
from s2st.schemas import (
    MANIFEST,
    PAIRS,
    PHONES,
    RESYNTHESES,
    RESYNTHESIS_SCORES,
    SCORES,
    TRANSLATIONS,
    UNIT_QUALITY,
    UNITS,
)
from s2st.translator import Translator
from stages import datasets

LANGUAGES = ("en", "hi", "ko")
RECIPE = str(Path(__file__).with_name("chain.yaml"))


@pytest.fixture(scope="module")
def chain(local_ray, tmp_path_factory):
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("chain")
    run_recipe(RECIPE, [f"run={folder}"])
    return folder


@pytest.fixture(scope="module")
def summary(chain):
    return json.loads((chain / "summary.json").read_text())


def test_the_summary_tells_every_stage_and_score(summary):
    assert summary["recipe"] == "chain"
    assert {"commit", "date", "machine"} <= set(summary)
    keys = {"stage", "rows_in", "rows_out", "rejects", "audio_hours", "seconds"}
    assert all(set(row) == keys for row in summary["stages"])
    directions = {f"{a}-{b}" for a in LANGUAGES for b in LANGUAGES if a != b}
    assert set(summary["scores"]) == directions
    assert {"content_words", "chance", "ceiling", "unit_error_rate"} <= set(summary["scores"]["hi-en"])
    assert "unseen_voices" in summary["scores"]["hi-en"]


def test_datasets_keep_their_schemas_and_lose_nothing(chain, summary):
    rows = {row["stage"]: row for row in summary["stages"]}
    # 24 sentences and 3 languages; the 3 of the test split are spoken by a second voice, too
    assert rows["manifest"]["rows_out"] == 3 * (24 + 3)
    assert rows["units"]["rows_in"] == rows["units"]["rows_out"] == rows["manifest"]["rows_out"]
    assert rows["phones"]["rows_in"] == rows["phones"]["rows_out"] == 3 * (3 + 3)  # of the test split
    for name, schema in [
        ("manifest", MANIFEST),
        ("units", UNITS),
        ("phones", PHONES),
        ("unit_quality", UNIT_QUALITY),
        ("pairs", PAIRS),
        ("translations", TRANSLATIONS),
        ("evaluation", SCORES),
        ("spoken", RESYNTHESES),
        ("voice_scores", RESYNTHESIS_SCORES),
    ]:
        assert len(datasets.read_table(f"{chain}/{name}", schema)) == rows[name]["rows_out"]
        assert pq.read_table(f"{chain}/{name}").num_rows == rows[name]["rows_out"]  # as pandas reads it


def test_units_are_one_for_each_frame(chain):
    table = datasets.read_table(f"{chain}/units", UNITS).to_pylist()
    assert all(len(row["units"]) == audio.num_frames(row["num_samples"]) for row in table)


def test_units_are_measured_by_language(chain):
    rows = datasets.read_table(f"{chain}/unit_quality", UNIT_QUALITY).to_pylist()
    assert [(row["units"], row["lang"]) for row in rows] == [(u, v) for u in ("units_mfcc", "units") for v in LANGUAGES]
    for row in rows:
        assert (row["num_utterances"], row["voice_pairs"]) == (6, 3)
        assert 0.1 < row["pnmi"] < 1
        assert 0 < row["same_sentence"] < 1
    assert "Quality of the units" in (chain / "report" / "index.html").read_text()


def test_sentences_never_leave_their_split(chain):
    table = datasets.read_table(f"{chain}/manifest", MANIFEST, ["sentence_id", "split"]).to_pylist()
    splits = {}
    for row in table:
        splits.setdefault(row["sentence_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())


def test_translations_are_speech(chain):
    for row in datasets.read_table(f"{chain}/translations", TRANSLATIONS).to_pylist():
        assert len(row["units"]) > 0
        assert row["seconds"] > 0
        assert row["audio"][:4] == row["ceiling_audio"][:4] == b"fLaC"


def test_the_vocoder_is_scored_by_language(summary):
    rows = {row["stage"]: row["rows_out"] for row in summary["stages"]}
    assert rows["spoken"] == rows["voice_scores"] == 3 * (3 + 3)
    scores = summary["voices"]["voice_scores"]
    assert set(scores) == set(LANGUAGES)
    for found in scores.values():
        assert found["mcd"]["low"] <= found["mcd"]["value"] <= found["mcd"]["high"]
        assert {"mel_l1", "duration_error", "word_error_ratio"} <= set(found)


def test_the_model_folder_stands_alone(chain, tone):
    translator = Translator.load(str(chain / "model"))
    assert np.isfinite(translator.translate(tone, to="ko", source="en").waveform).all()


def test_the_report_opens_and_is_labelled(chain):
    page = (chain / "report" / "index.html").read_text()
    assert "synthetic" in page.lower()
    assert "hi → en" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert list((chain / "report" / "listen").glob("*_translated.wav"))


def test_a_second_run_has_nothing_to_do(chain, capsys):
    run_recipe(RECIPE, [f"run={chain}"])
    told = capsys.readouterr().out
    assert told.count("done before") == len(json.loads((chain / "summary.json").read_text())["stages"])
    assert "starts" not in told
