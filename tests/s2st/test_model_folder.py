import shutil
from pathlib import Path

import pytest

from s2st import storage
from s2st.config import UserError
from s2st.model_folder import describe


@pytest.fixture
def folder(tiny_model, tmp_path):
    shutil.copytree(tiny_model, tmp_path / "model")
    return str(tmp_path / "model")


def test_a_folder_says_what_it_does(folder):
    about = describe(folder)
    assert about.kind == "unit_transformer"
    assert about.directions == ("en-hi", "hi-en")
    assert about.voices == {"en": ("a",), "hi": ("a",)}
    assert about.num_units == 20


def test_models_that_speak_spectrograms_have_no_names_of_voices(tiny_direct_models):
    assert describe(tiny_direct_models["mel_lstm"]).voices == {"hi": ()}


@pytest.mark.parametrize("part", ["codebook", "translator", "vocoders/hi"])
def test_a_part_without_weights_is_told(folder, part):
    Path(folder, part, "weights.safetensors").unlink()
    with pytest.raises(UserError, match=f"there is no file .*{part}/weights.safetensors"):
        describe(folder)


@pytest.mark.parametrize("part", ["translator", "vocoders/hi"])
def test_a_part_that_knows_other_units_is_told(folder, part):
    config = storage.read_json(f"{folder}/{part}/config.json")
    config["info"]["units"] = "mfcc-others"
    storage.write_json(f"{folder}/{part}/config.json", config)
    with pytest.raises(UserError, match=f"{part} was trained on units mfcc-others, but .*codebook makes stacked_mfcc"):
        describe(folder)
