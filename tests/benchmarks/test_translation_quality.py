from benchmarks.translation_quality import rows_of
from s2st import storage
from stages.stage import MADE_BY

SCORE = {"content_words": 0.5, "unit_error_rate": 0.25, "unit_bleu": 40.0, "bleu": 1.0}


def test_every_model_has_its_figures(tmp_path):
    others = {"utut_voices_4": {"seen": {**SCORE, "unit_bleu": 41.0}, "unseen": {**SCORE, "unit_bleu": 30.0}}}
    scores = {"hi-en": {"units": "lstm_voices_1", **SCORE, "unseen_voices": SCORE, "other_units": others}}
    storage.write_json(f"{tmp_path}/report/scores.json", scores)
    for section, seconds in (("lstm_1", 60.0), ("utut_4", 100.0), ("denoised_4", 20.0)):
        storage.write_json(f"{tmp_path}/{section}/{MADE_BY}", {"seconds": seconds})
    found = {row.name.removeprefix("translation.quality."): row.ours for row in rows_of(str(tmp_path))}
    assert len(found) == 2 * (2 * 3 + 1)
    assert found["lstm_voices_1.seen.content_words"] == 0.5
    assert found["utut_voices_4.unseen.unit_bleu"] == 30
    assert (found["lstm_voices_1.seconds"], found["utut_voices_4.seconds"]) == (60, 120)
