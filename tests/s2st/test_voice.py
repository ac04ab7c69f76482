import numpy as np
import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.units import expand, reduce
from s2st.voice import Voice, check_speaks_reduced

FULL = [np.array([3, 3, 3, 7, 1, 1]), np.array([2, 9])]


def make(predict_durations: bool) -> Voice:
    torch.manual_seed(0)
    config = UnitVocosConfig(num_units=20, channels=16, num_blocks=1, predict_durations=predict_durations)
    return Voice(UnitVocos(config).eval(), {})


@pytest.mark.parametrize("predicts", [True, False])
def test_full_units_last_a_frame_each(predicts):
    voice = make(predicts)
    for units, (waveform, durations) in zip(FULL, voice.speak(FULL, "en", full=True), strict=True):
        assert len(waveform) == 320 * len(units)
        assert durations.tolist() == [1] * len(units)
        with torch.no_grad():
            expected = voice.vocoder(torch.from_numpy(units).unsqueeze(0))[0].clamp(-1, 1)
        np.testing.assert_allclose(waveform, expected.numpy(), atol=1e-5)


def test_reduced_units_last_as_long_as_is_predicted():
    voice = make(True)
    reduced = [reduce(units)[0] for units in FULL]
    for units, (waveform, durations) in zip(reduced, voice.speak(reduced, "en"), strict=True):
        assert len(waveform) == 320 * durations.sum()
        (whole, _), *_ = voice.speak([expand(units, durations)], "en", full=True)
        np.testing.assert_allclose(waveform, whole, atol=1e-5)


def test_the_wrong_kind_of_units_is_refused():
    with pytest.raises(UserError, match="units repeat where reduced ones are spoken"):
        make(True).speak(FULL, "en")
    with pytest.raises(UserError, match="this vocoder predicts no durations: it speaks full units"):
        make(False).speak([reduce(units)[0] for units in FULL], "en")


def test_a_folder_tells_which_units_its_vocoder_speaks(tmp_path):
    for predicts in (True, False):
        checkpoint.save(f"{tmp_path}/{predicts}", make(predicts).vocoder, {})
    check_speaks_reduced(f"{tmp_path}/True")
    with pytest.raises(UserError, match=f"^{tmp_path}/False predicts no durations"):
        check_speaks_reduced(f"{tmp_path}/False")
