import pytest

from pipelines.report import ReportConfig, check, check_inputs, heard_where_any, summary
from s2st.config import UserError
from stages.stage import Step


def row(pair, voices, source="hi", target="en"):
    return {"pair_id": pair, "voices": voices, "source_lang": source, "target_lang": target}


def test_sentences_are_of_voices_that_training_heard_where_a_direction_has_any():
    rows = [row("a", "seen"), row("b", "unseen"), row("c", "unseen", "en", "hi")]
    assert [kept["pair_id"] for kept in heard_where_any(rows)] == ["a", "c"]


def test_the_summary_holds_unheard_voices_and_other_units_apart():
    scored = [{"hi-en": {"unseen": {"content_words": 0.2}}}, {"hi-en": {"seen": {"content_words": 0.3}}}]
    assert summary(["hubert layer 4", "mfcc"], scored) == {
        "hi-en": {
            "units": "hubert layer 4",
            "unseen_voices": {"content_words": 0.2},
            "other_units": {"mfcc": {"seen": {"content_words": 0.3}}},
        }
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"translations": ["t"]}, "name as many evaluations as translations and units, in one order"),
        ({"units": ["u", "u"]}, "each evaluation needs units of its own; name each section once"),
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
