import numpy as np
import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from stages.stage import Step
from trainers.generation import METRICS, Voices, check_spoken, check_vocoder_units, check_vocoders, collapse, measure

LANGS = ["en", "hi", "en"]
REFERENCES = [[1, 2, 3, 4, 5], [6, 7, 8, 9, 1], [3, 1, 9, 4, 6]]


def test_translations_are_measured():
    found = measure(LANGS, REFERENCES, REFERENCES, None)
    assert found["unit_error_rate"] == 0
    assert found["unit_bleu"] > 99.9
    assert collapse(found) is None
    assert {*METRICS} - {*found} == {"mcd"}


def test_one_translation_for_all_inputs_is_told():
    assert "its translations differ 0% as much" in collapse(measure(LANGS, REFERENCES, [[1, 2, 3]] * 3, None))
    assert collapse({"loss": 1.0}) is None  # nothing was translated


@pytest.fixture
def vocoder(tmp_path):
    torch.manual_seed(0)
    info = {"units": "u", "speakers": ["a"], "languages": ["en"], "default_speakers": {"en": "a"}}
    checkpoint.save(f"{tmp_path}/vocoder", UnitVocos(UnitVocosConfig(num_units=20, channels=16, num_blocks=1)), info)
    return f"{tmp_path}/vocoder"


def test_distortion_of_what_is_spoken(vocoder):
    voices = Voices([vocoder])
    assert voices.distortion(LANGS, REFERENCES, REFERENCES) == {"mcd": pytest.approx(0, abs=1e-6)}
    wrong = [np.array([7, 3]), np.array([1]), np.array([], int)]
    assert voices.distortion(LANGS, REFERENCES, wrong)["mcd"] > 0.1
    assert voices.distortion(["hi"] * 3, REFERENCES, wrong) == {}  # nobody speaks it
    assert {*METRICS} < {*measure(LANGS, REFERENCES, wrong, voices)}


def test_mistakes_with_vocoders_are_told(vocoder, tmp_path):
    step = Step("x", "trainers.translation", str(tmp_path), {}, {})
    with pytest.raises(UserError, match="section 'x': best_metric mcd needs speech; name vocoders"):
        check_vocoders(step, "mcd")
    step = Step("x", "trainers.translation", str(tmp_path), {}, {"vocoders": ["vocoder"]})
    check_vocoder_units(step, "u")
    with pytest.raises(UserError, match="vocoder speaks units u, but the training has other"):
        check_vocoder_units(step, "other")
    check_spoken(step, "mcd", ["en"])
    check_spoken(step, "loss", ["en", "hi"])
    with pytest.raises(UserError, match="best_metric mcd needs vocoders of all target languages; name one of 'hi'"):
        check_spoken(step, "mcd", ["en", "hi"])
    full = UnitVocos(UnitVocosConfig(num_units=20, channels=16, num_blocks=1, predict_durations=False))
    checkpoint.save(vocoder, full, {"units": "u"})
    with pytest.raises(UserError, match="/vocoder predicts no durations"):
        check_vocoder_units(step, "u")
