"""What the summary of a run collects."""

from recipes.__main__ import _closing, summarise
from s2st import storage
from stages.stage import Step

RECORD = {"rows_in": 1, "rows_out": 1, "rejects": 0, "audio_hours": 0.0, "seconds": 30.0, "commit": "abc"}


def test_every_section_of_transcripts_and_of_quality_is_kept_by_its_name(tmp_path):
    stages = {
        "heard_1": "transcribe",
        "heard_2": "transcribe",
        "quality_1": "unit_quality",
        "quality_2": "unit_quality",
    }
    steps = [Step(name, f"pipelines.{stage}", str(tmp_path), {}, {}) for name, stage in stages.items()]
    for step in steps:
        storage.write_json(f"{step.output}/_scores.json", {"of": step.name})
    date = "2020-01-02T03:04:05+00:00"
    summary = summarise("mine", steps, [{**RECORD, "step": name, "date": date, "machine": "2 CPU"} for name in stages])
    assert summary["transcripts"] == {"heard_1": {"of": "heard_1"}, "heard_2": {"of": "heard_2"}}
    assert summary["unit_quality"] == {"quality_1": {"of": "quality_1"}, "quality_2": {"of": "quality_2"}}
    assert (summary["scores"], summary["minutes"]) == ({}, 0.5)


def test_approaches_that_a_run_compared_are_kept_and_printed(tmp_path):
    steps = [Step("comparison", "pipelines.compare_approaches", str(tmp_path), {}, {})]
    storage.write_json(f"{steps[0].output}/table.json", [{"name": "cascade"}])
    storage.write_bytes(f"{steps[0].output}/table.md", b"| cascade |\n")
    record = {**RECORD, "step": "comparison", "date": "2020-01-02T03:04:05+00:00", "machine": "2 CPU"}
    assert summarise("mine", steps, [record])["approaches"] == [{"name": "cascade"}]
    assert _closing(steps) == ["\n| cascade |\n"]
