import re
import sys

import pyarrow as pa
import pytest

from recipes import compare
from s2st import audio, storage
from s2st.config import UserError
from s2st.schemas import MANIFEST, SCORES, TRANSLATIONS, UNITS
from stages import datasets
from stages.stage import MADE_BY
from tests.pipelines.test_report_translations import SCORE, row

SETTINGS = {"title": "Title", "listening": 2, "sentences": 8}
READS = {
    "manifest": ["manifest"],
    "units": ["units"],
    "evaluations": ["evaluation"],
    "translations": ["translations"],
    "trainings": ["translator"],
}


@pytest.fixture
def make_run(tmp_path, tone):
    """A function that writes the folder of a finished run with translations of some pairs."""

    def record(run, step, stage, settings, inputs=None):
        counts = {"rows_in": 3, "rows_out": 3, "rejects": 0, "audio_hours": 0.5, "seconds": 60.0}
        origin = {"date": "2001-02-03T04:05:06+00:00", "commit": "abc1234", "machine": "2 CPU"}
        made = {"step": step, "stage": stage, "settings": settings, "inputs": inputs or {}, **counts, **origin}
        storage.write_json(f"{run}/{step}/{MADE_BY}", made)

    def write(name, pairs=("a", "b", "c"), heard="red cup", direction="hi-en", training="translator", max_steps=500):
        run, (source, target) = tmp_path / name, direction.split("-")
        sound = {"bytes": audio.encode(tone), "path": ""}
        manifest = [
            {"utterance_id": f"u-{lang}", "audio": sound, "num_samples": len(tone)} for lang in (source, target)
        ]
        manifest = [{**spoken, "lang": "en", "split": "test"} for spoken in manifest]
        units = {"utterance_id": "u-hi", "lang": "hi", "units": [1, 1], "durations": [2], "codebook": "mfcc-0-1-abc"}
        ids = {"source_utterance_id": f"u-{source}", "target_utterance_id": f"u-{target}"}
        made = {"units": [4], "durations": [50], "audio": sound["bytes"], "ceiling_audio": sound["bytes"], "seconds": 1}
        scored = [row(pair, source=source, target=target, heard=heard) for pair in pairs]
        translations = [{"pair_id": pair, **ids, **made} for pair in pairs]
        for folder, rows, schema in (
            ("manifest", manifest, MANIFEST),
            ("units", [units], UNITS),
            ("translations", translations, TRANSLATIONS),
            ("evaluation", scored, SCORES),
        ):
            datasets.write_table(pa.Table.from_pylist(rows, schema), f"{run}/{folder}")
            record(run, folder, f"pipelines.{folder}", {"phrasebook": {}})
        signatures = {"bleu_signature": "nrefs:1", "chrf_signature": "nrefs:1"}
        storage.write_json(f"{run}/evaluation/_scores.json", {direction: {"seen": {**SCORE, **signatures}}})
        record(run, training, "trainers.translation", {"loop": {"max_steps": max_steps, "seed": 0}})
        storage.write_bytes(f"{run}/{training}/metrics.jsonl", b'{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\n')
        record(run, "report", "pipelines.report", SETTINGS, {**READS, "trainings": [training]})
        storage.write_json(f"{run}/summary.json", {"recipe": "mine"})
        return str(run)

    return write


def test_runs_are_compared_on_one_page(make_run, tmp_path, monkeypatch, capsys):
    runs = [make_run("a"), make_run("b", pairs="bcd", heard="a red <cup>", max_steps=900)]
    monkeypatch.setattr(sys, "argv", ["compare", *runs, "-o", f"{tmp_path}/out.html"])
    compare.main()
    assert f"comparison:    {tmp_path}/out.html" in capsys.readouterr().out
    html = (tmp_path / "out.html").read_text()
    assert html.count("<audio") == 2 * 4  # of the pairs b and c, which both have
    assert html.count("a red &lt;cup&gt;") >= 2
    settings = html[html.index("<h2>Settings") :]
    assert re.findall(r"<td.*?>(.*?)</td>", settings) == ["translator", "loop.max_steps", "500", "900"]
    assert "loss by step: a, b" in html
    assert "b: mfcc" in html
    for fact in ("mine.yaml", "abc1234", "2001-02-03 04:05 UTC", "2 CPU"):
        assert html.count(fact) == 2


def test_sections_that_one_run_lacks_and_inputs_are_told():
    both = {"stage": "trainers.x", "inputs": {"units": ["u"]}, "settings": {"loop": {"seed": 1}, "same": 2}}
    other = {**both, "inputs": {"units": ["u", "v"]}, "settings": {"loop": {"seed": 3}, "same": 2}}
    rows = compare.differing([{"both": both, "alone": both}, {"both": other}])
    assert [(row.section, row.name, row.values) for row in rows] == [
        ("both", "units", ("u", "u, v")),
        ("both", "loop.seed", ("1", "3")),
        ("alone", "stage", ("trainers.x", "–")),
    ]


def test_mistakes_are_told_in_a_sentence(make_run, tmp_path):
    run = make_run("a")
    (tmp_path / "begun" / "manifest").mkdir(parents=True)
    for runs, message in (
        ([run, f"{run}/"], "a run is named twice; name each folder once"),
        ([run], "there is nothing to compare with; name two folders of runs or more"),
        ([run, f"{tmp_path}/begun"], "begun has no report yet; finish the run first"),
        ([run, f"{tmp_path}/nowhere"], "nowhere has no report yet; finish the run first"),
    ):
        with pytest.raises(UserError, match=message):
            compare.compare(runs, 2)


def test_runs_with_nothing_in_common_are_told(make_run):
    runs = [make_run("a"), make_run("b", pairs="z", direction="en-ko", training="other")]
    with pytest.raises(
        UserError, match="have no direction, language or training in common; compare runs of one recipe"
    ):
        compare.compare(runs, 2)
    compare.compare([runs[0], make_run("c", pairs="z")], 2)  # other sentences of one direction


def test_runs_of_one_name_are_told_apart_by_their_paths(make_run):
    runs = [make_run("first/demo"), make_run("second/demo")]
    assert compare.compare(runs, 2).names == tuple(runs)
    assert compare.compare([runs[0], f"{make_run('other')}/"], 2).names == ("demo", "other")
