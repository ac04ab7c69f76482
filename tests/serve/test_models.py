import shutil

import pytest

from s2st import storage
from s2st.config import UserError
from serve.models import check_voice, folder_of, pick_model, read_models, version_of


@pytest.fixture
def models(tiny_model, tiny_direct_models):
    return read_models({"units": tiny_model, "s2ut": tiny_direct_models["s2ut"]})


def test_the_first_model_that_knows_a_direction_translates_it(models):
    model, source = pick_model(models, "hi", None, None)
    assert (model.name, source, model.in_parts) == ("units", "en", True)
    model, source = pick_model(models, "hi", "en", "s2ut")
    assert (model.name, source, model.in_parts) == ("s2ut", "en", False)


@pytest.mark.parametrize(
    ("to", "source", "name", "message"),
    [
        ("ko", None, None, "does not speak 'ko'"),
        ("hi", "fr", None, "does not translate 'fr' to 'hi'"),
        ("en", None, "s2ut", "does not speak 'en'"),
        ("hi", None, "unit", "unknown model 'unit'; did you mean 'units'"),
    ],
)
def test_what_no_model_does_is_told(models, to, source, name, message):
    with pytest.raises(UserError, match=message):
        pick_model(models, to, source, name)


def test_voices_are_known_by_name(models):
    check_voice(models["units"], "hi", "a")
    check_voice(models["units"], "hi", None)
    with pytest.raises(UserError, match="model 'units' has no voice 'b' for 'hi'; it has a"):
        check_voice(models["units"], "hi", "b")


def test_a_folder_that_changed_has_another_version(tiny_model, tmp_path):
    folder = str(tmp_path / "model")
    shutil.copytree(tiny_model, folder)
    version = version_of(folder)
    assert folder_of(version) == folder
    for name in ("serve.log", "codebook/report.html", "_made_by.json"):  # what is no model
        storage.write_bytes(f"{folder}/{name}", b"new")
    assert folder_of(version) == folder
    (tmp_path / "model" / "model.json").write_text("{}")
    assert version_of(folder) != version
    with pytest.raises(UserError, match="has changed since the server read it"):
        folder_of(version)
