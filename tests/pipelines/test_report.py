import json
import re

import pyarrow as pa
import pytest

from pipelines.report import ReportConfig, check, check_inputs, run
from pipelines.unit_quality import PHONES_FILE
from s2st import audio, storage
from s2st.config import UserError
from s2st.schemas import (
    CONTINUATION_SCORES,
    CONTINUATIONS,
    MANIFEST,
    RESYNTHESES,
    RESYNTHESIS_SCORES,
    UNIT_QUALITY,
    UNITS,
)
from stages import datasets
from stages.stage import MADE_BY, Step
from tests.s2st.evaluation.example_report import LANGUAGE_MODEL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"translations": ["t"]}, "name as many evaluations as translations and units, in one order"),
        ({"evaluations": ["e", "e"]}, "an evaluation is named twice; name each section once"),
    ],
)
def test_evaluations_without_units_of_their_own_are_told_before_anything_runs(changes, message):
    inputs = {"evaluations": ["e", "f"], "translations": ["t", "s"], "units": ["u", "v"]}
    check(ReportConfig(), Step("report", "pipelines.report", "run", {}, inputs))
    check(ReportConfig(), Step("report", "pipelines.report", "run", {}, {"units": ["u"]}))  # of units alone
    with pytest.raises(UserError, match=f"section 'report': {message}"):
        check(ReportConfig(), Step("report", "pipelines.report", "run", {}, {**inputs, **changes}))


def test_an_evaluation_of_an_older_version_is_told(tmp_path):
    step = Step("report", "pipelines.report", str(tmp_path), {}, {"evaluations": ["new", "old"]})
    for name, scores in (("new", "_scores.json"), ("old", "scores.json")):
        (tmp_path / name).mkdir()
        (tmp_path / name / scores).write_text("{}")
    with pytest.raises(UserError, match="section 'report': .*/old is of an older version; delete it and run again"):
        check_inputs(ReportConfig(), step)
    storage.write_json(f"{tmp_path}/heard/_scores.json", {"en": {"recordings": 2, "heard_text": {}, "beam_text": {}}})
    for inputs in ({"transcripts": ["heard"]}, {"unit_quality": ["heard"]}):
        step = Step("report", "pipelines.report", str(tmp_path), {}, inputs)
        with pytest.raises(UserError, match="section 'report': .*/heard is of an older version"):
            check_inputs(ReportConfig(), step)


def test_a_run_that_translates_nothing_has_a_report_of_its_units_and_transcripts(tmp_path):
    units = {"utterance_id": "a", "lang": "en", "units": [0, 1, 1], "durations": [1, 2], "codebook": "hubert-4-1-abc"}
    recording = {"lang": "en", "split": "test", "sentence_id": "s", "speaker": "v", "num_samples": 16_000 * 3600}
    quality = {"units": "u", "kind": "hubert layer 4", "lang": "en", "num_units": 2, "perplexity": 1.9, "pnmi": 0.625}
    for name, row, schema in (("m", recording, MANIFEST), ("u", units, UNITS), ("q", quality, UNIT_QUALITY)):
        datasets.write_table(pa.Table.from_pylist([row], schema), f"{tmp_path}/{name}")
    storage.write_json(f"{tmp_path}/q/{PHONES_FILE}", {"u": {"en": {"0": {"a": 3}, "1": {"b": 5, "a": 1}}}})
    best, beam = ({"word_error_rate": wer, "character_error_rate": 0.125} for wer in (0.375, 0.25))
    score = {"recordings": 7, "heard_text": best, "beam_text": beam}
    storage.write_json(f"{tmp_path}/t/_scores.json", {"en": {"unseen": score}})
    record = {"settings": {"folder": {}}, "inputs": {}, "date": "2001-02-03", "audio_hours": 1.5, "seconds": 2.0}
    for name in ("m", "u", "q", "t"):
        storage.write_json(f"{tmp_path}/{name}/{MADE_BY}", {**record, "rows_in": 1, "rows_out": 1, "rejects": 0})
    inputs = {"manifest": ["m"], "units": ["u"], "unit_quality": ["q"], "transcripts": ["t"]}
    step = Step("report", "pipelines.report", str(tmp_path), {}, inputs, "mine.yaml")
    check_inputs(ReportConfig(), step)
    assert run(ReportConfig(), step).rows_out == 1 + 7
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Quality of the units" in page
    assert "62.5" in page
    assert "t, unseen voices" in page
    assert re.findall(r">([\d.]+)</td>", page[page.index("<h2>Transcripts") :])[:5] == [
        "7",
        "37.5",
        "25.0",
        "12.5",
        "12.5",
    ]
    assert "2 of 2 units occur" in page
    assert "lasts 30 ms on average" in page
    assert "unit 1: b 83 %, a 17 %; 6 frames" in page
    assert re.findall(r"<td.*?>(.*?)</td>", page[page.index("<h2>Data") :])[:6] == ["en", "test", "1", "1", "1", "1.00"]
    assert json.loads((tmp_path / "report" / "scores.json").read_text()) == {}


def test_a_vocoder_has_its_scores_and_sounds(tmp_path, tone):
    name = {"utterance_id": "a", "lang": "en", "split": "test"}
    sound = audio.encode(tone)
    scored = {**name, "text": "Thank you.", "heard_text": "tank", "recording_text": "Thank you.", "num_words": 2}
    units = {"units": [5, 6], "durations": [20, 30], "true_durations": [25, 25]}
    for folder, row, schema in (
        ("m", {**name, "audio": {"bytes": sound, "path": ""}, "num_samples": len(tone)}, MANIFEST),
        ("spoken", {**name, "audio": sound, **units}, RESYNTHESES),
        ("scores", scored, RESYNTHESIS_SCORES),
    ):
        datasets.write_table(pa.Table.from_pylist([row], schema), f"{tmp_path}/{folder}")
        record = {"settings": {"folder": {}}, "inputs": {}, "date": "2001-02-03", "audio_hours": 1.5, "seconds": 2.0}
        storage.write_json(f"{tmp_path}/{folder}/{MADE_BY}", {**record, "rows_in": 1, "rows_out": 1, "rejects": 0})
    figures = {"mcd": {"value": 4.5, "low": 4.25, "high": 4.75}}
    score = {"en": {"recordings": 3, "words": 2, "durations": "recorded", **figures}}
    storage.write_json(f"{tmp_path}/scores/_scores.json", score)
    inputs = {"manifest": ["m"], "voice_scores": ["scores"], "resyntheses": ["spoken"]}
    step = Step("report", "pipelines.report", str(tmp_path), {}, inputs, "mine.yaml")
    check(ReportConfig(), step)
    assert run(ReportConfig(), step).rows_out == 3
    page = (tmp_path / "report" / "index.html").read_text()
    assert "scores, recorded durations" in page
    assert "4.50<br><small>4.25 to 4.75</small>" in page
    assert page.count("<audio") == 2
    assert "tank" in page
    assert "unit 6, 0.40 to 1.00 s" in page  # as the vocoder has it
    assert "unit 6, 0.50 to 1.00 s" in page  # as it was recorded
    with pytest.raises(UserError, match="name as many voice_scores as resyntheses"):
        check(ReportConfig(), Step("report", "pipelines.report", "", {}, {"voice_scores": ["scores"]}))


def test_a_language_model_has_its_scores_and_sounds(tmp_path, tone):
    sound = audio.encode(tone)
    shared = {"lang": "en", "units": [5, 6], "durations": [20, 30], "audio": sound, "prompt_samples": 8000}
    names = [("a", "true"), ("a", "continued"), ("b", "true"), ("b", "continued"), ("sample-0001", "sampled")]
    said = [{**shared, "utterance_id": name, "kind": kind} for name, kind in names]
    scored = [{**row, "heard_text": f"{row['kind']} {row['utterance_id']}"} for row in said]
    recording = {"utterance_id": "a", "lang": "en", "split": "test", "num_samples": len(tone)}
    for folder, rows, schema in (
        ("m", [recording], MANIFEST),
        ("said", said, CONTINUATIONS),
        ("scores", scored, CONTINUATION_SCORES),
    ):
        datasets.write_table(pa.Table.from_pylist(rows, schema), f"{tmp_path}/{folder}")
        record = {"settings": {"folder": {}}, "inputs": {}, "date": "2001-02-03", "audio_hours": 1.5, "seconds": 2.0}
        storage.write_json(f"{tmp_path}/{folder}/{MADE_BY}", {**record, "rows_in": 1, "rows_out": 1, "rejects": 0})
    storage.write_json(f"{tmp_path}/scores/_scores.json", {"en": LANGUAGE_MODEL})
    inputs = {"manifest": ["m"], "continuations": ["said"], "continuation_scores": ["scores"]}
    step = Step("report", "pipelines.report", str(tmp_path), {}, inputs, "mine.yaml")
    check(ReportConfig(), step)
    assert run(ReportConfig(listening=1), step).rows_out == 5
    page = (tmp_path / "report" / "index.html").read_text()
    assert "31.2 [29.0, 33.5]" in page
    assert page.count("<audio") == 3  # a recording, its beginning continued, and a sample
    assert all(text in page for text in ("true a", "continued a", "sampled sample-0001", "prompt of 0.5 s"))
    assert "continued b" not in page
    assert "unit 6, 0.40 to 1.00 s" in page
    with pytest.raises(UserError, match="name as many continuation_scores as continuations"):
        check(ReportConfig(), Step("report", "pipelines.report", "", {}, {"continuations": ["said"]}))
