import dataclasses
import re

import pytest

from s2st.evaluation import page as module
from s2st.evaluation.charts import Series
from s2st.evaluation.comparison import Comparison, Setting, curves, join, render
from s2st.evaluation.report_content import Sound, Training
from tests.s2st.evaluation.example_report import TIMES, full_report, sound


def two_runs() -> Comparison:
    """The example, and the same with another translation."""
    report = full_report()
    (row,) = report.listening
    heard = dataclasses.replace(row.sentence, heard="a <cup>", heard_words=("cup",))
    other = dataclasses.replace(row, sentence=heard, translated=Sound(sound(9), TIMES, "a <cup>"))
    setting = Setting("translator", "loop.max_steps", ("500", "900"))
    return Comparison(("a", "b"), (report, dataclasses.replace(report, listening=(other,))), (setting,))


def test_rows_of_runs_stand_beside_each_other():
    rows = join(two_runs()).scores
    assert [(row.unit_kind, row.voices) for row in rows] == [
        ("a: mfcc", "seen"),
        ("b: mfcc", "seen"),
        ("a: mfcc", "unseen"),
        ("b: mfcc", "unseen"),
    ]
    assert [row.units for row in join(two_runs()).unit_quality] == [
        f"{run}: units_{number}" for number in (1, 2) for run in "ab"
    ]


def test_trainings_of_one_name_share_a_chart():
    report = full_report()
    alone = Training("vocoder", (Series("loss", (0, 1), (2, 1)),))
    runs = (report, dataclasses.replace(report, trainings=(*report.trainings, alone)))
    ((name, chart),) = curves(Comparison(("a", "b"), runs, ()))
    assert name == "translation"
    assert "validation loss by step: a, b" in chart
    assert chart.count("<polyline") == 2


def test_trainings_are_compared_by_what_all_of_them_record():
    report = full_report()
    poor = dataclasses.replace(report, trainings=(Training("translation", (Series("loss", (0, 1), (2, 1)),)),))
    ((_, chart),) = curves(Comparison(("a", "b"), (report, poor), ()))
    assert ">loss by step" in chart


def test_the_page_has_each_run_s_speech_and_what_differs():
    html = render(two_runs())
    assert html.count("<audio") == 4  # source, target, and a translation of each run
    assert "a &lt;cup&gt;" in html
    assert "loop.max_steps" in html
    assert not re.search(r"https?://|url\(|@import|<script|<link", html)
    assert "All settings are the same" in render(dataclasses.replace(two_runs(), settings=()))


def test_the_page_stays_small(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_AUDIO_BYTES", 10)
    html = render(two_runs())
    assert "<audio" not in html
    assert "1 more sentences are left out" in html
