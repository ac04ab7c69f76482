import json

import pytest

from pipelines import compare_approaches
from pipelines.approach_origin import Origin
from pipelines.compare_approaches import CompareApproachesConfig, check, check_inputs, run
from s2st import storage
from s2st.config import UserError
from stages.stage import MADE_BY, Step

SCORE = {"content_words": 0.5, "content_words_interval": [0.25, 0.75], "bleu": 50.0, "sentences": 40}
SCORE |= {"chance": 0.125, "ceiling": 0.875, "recordings": 1.0}
TEST = {"settings": {"split": "test"}}
ORIGINS = {
    "model_a": Origin(False, {"a": 1_000_000, "voice": 500_000}, {"a": 60.0, "voice": 30.0}, 0.0, False),
    "model_b": Origin(True, {"b": 2_000_000, "voice": 500_000}, {"b": 120.0, "voice": 30.0}, 600.0, False),
}


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A section that compares two models that one judge has heard; only one is measured for its speed."""
    monkeypatch.setattr(compare_approaches, "origin_of", lambda run_folder, model: ORIGINS[model])
    for name, scores in (("a", {"seen": SCORE, "unseen": {**SCORE, "content_words": 0.25}}), ("b", {"unseen": SCORE})):
        storage.write_json(f"{tmp_path}/said_{name}/{MADE_BY}", {"inputs": {"model": [f"model_{name}"]}, **TEST})
        judged = {"translations": [f"said_{name}"], "manifest": ["manifest"], "recognizers": ["judge"]}
        storage.write_json(f"{tmp_path}/judged_{name}/{MADE_BY}", {"inputs": judged, "settings": {}})
        storage.write_json(f"{tmp_path}/judged_{name}/_scores.json", {"hi-en": scores})
    speeds = {"model_a": {"hi-en": {"cpu_seconds_per_second": 0.25}, "en-hi": {"cpu_seconds_per_second": 9.0}}}
    storage.write_json(f"{tmp_path}/speeds/_speeds.json", speeds)
    inputs = {"evaluations": ["judged_a", "judged_b"], "speeds": ["speeds"]}
    return Step("comparison", "pipelines.compare_approaches", str(tmp_path), {}, inputs)


def test_all_approaches_are_in_one_table(step):
    config = CompareApproachesConfig({"judged_a": "units"})
    check(config, step)
    check_inputs(config, step)
    assert run(config, step).rows_out == 2
    first, second = storage.read_json(f"{step.output}/table.json")
    assert (first["name"], first["direction"], first["needs_text"], first["speed"]) == ("units", "hi-en", False, 0.25)
    assert (second["name"], second["needs_text"], second["speed"]) == ("judged_b", True, None)
    assert first["shared"] == second["shared"] == ["voice"]
    assert (first["scores"]["content_words"], first["new_voice"]["content_words"]) == (0.5, 0.25)
    assert (second["scores"], second["new_voice"]) == (SCORE, None)
    text = storage.read_bytes(f"{step.output}/table.md").decode()
    assert "| units | no | 1.50 M | 1.5 | 0.5 | 0.250 | 0.50 [0.25, 0.75] | 0.25 | 50.0 |" in text
    assert "| judged_b | yes | 2.50 M | 2.5 and 10.0 GPU-min | 0.5 | – | 0.50 [0.25, 0.75] | – | 50.0 |" in text


def test_mistakes_are_told_in_a_sentence(step, tmp_path):
    with pytest.raises(UserError, match="section 'comparison': names has 'judged_c', which is not among"):
        check(CompareApproachesConfig({"judged_c": "c"}), step)
    with pytest.raises(UserError, match="section 'comparison': two evaluations are called 'judged_b'; give them"):
        check(CompareApproachesConfig({"judged_a": "judged_b"}), step)
    step.inputs["evaluations"].append("judged_a")
    with pytest.raises(UserError, match="section 'comparison': the evaluation 'judged_a' is named twice; name it once"):
        check(CompareApproachesConfig(), step)
    said = storage.read_json(f"{tmp_path}/said_b/{MADE_BY}")
    storage.write_json(f"{tmp_path}/said_b/{MADE_BY}", {**said, "settings": {"split": "validation"}})
    with pytest.raises(UserError, match="'comparison': judged_a and judged_b judge the splits test and validation;"):
        check_inputs(CompareApproachesConfig(), step)
    storage.write_json(f"{tmp_path}/said_b/{MADE_BY}", said)
    judged = json.loads((tmp_path / "judged_b" / MADE_BY).read_text())
    judged["inputs"]["recognizers"] = ["other"]
    storage.write_json(f"{tmp_path}/judged_b/{MADE_BY}", judged)
    with pytest.raises(UserError, match="judged_b has the recognizers other, but judged_a has judge; only evaluations"):
        check_inputs(CompareApproachesConfig(), step)
