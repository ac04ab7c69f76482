import pytest

from s2st.config import UserError
from serve.settings import ServeSettings, is_local, model_name, name_models, read_keys, read_settings


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("runs/demo/model", "demo"),
        ("runs/demo/model_stacked/", "demo_stacked"),
        ("s3://bucket/fleurs/model", "fleurs"),
        ("/models/en_hi", "en_hi"),
        ("model", "model"),
    ],
)
def test_models_are_named_after_their_runs(folder, name):
    assert model_name(folder) == name


def test_two_models_of_one_name_are_told():
    with pytest.raises(UserError, match="runs/b/demo/model and runs/a/demo/model would both be named 'demo'"):
        name_models(["runs/a/demo/model", "runs/b/demo/model"])


def test_a_command_line_gives_text(tmp_path):
    settings = read_settings({"model": str(tmp_path / "model"), "beam": "2"})
    assert settings == ServeSettings({tmp_path.name: str(tmp_path / "model")}, beam=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"models": {}}, "models is empty"),
        ({"beam": 0}, "beam 0 must be from 1 to 20"),
        ({"beam": "wide"}, "serve.beam must be int"),
        ({"max_seconds": -1}, "max_seconds -1.0 must be above 0"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds nan must be above 0"),
        ({"cors_origins": ["*"]}, "is no origin"),
        ({"models": {str(i): "x" for i in range(9)}}, "a replica holds 8"),
        ({"models": "demo"}, "serve.models must be a mapping"),
    ],
)
def test_settings_that_cannot_be_are_told(given, message):
    with pytest.raises(UserError, match=message):
        read_settings(given)


def test_keys_stand_one_a_line(tmp_path):
    file = tmp_path / "keys"
    file.write_text("one\n\n two \n")
    assert read_keys(ServeSettings({"demo": "x"}, api_keys=str(file))) == (b"one", b"two")
    assert read_keys(ServeSettings({"demo": "x"})) == ()


def test_a_file_without_keys_is_told(tmp_path):
    settings = ServeSettings({"demo": "x"}, api_keys=str(tmp_path / "keys"))
    with pytest.raises(UserError, match="api_keys: there is no file"):
        read_keys(settings)
    (tmp_path / "keys").write_text("\n")
    with pytest.raises(UserError, match="holds no key"):
        read_keys(settings)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.5", False)],
)
def test_addresses_of_this_machine(host, local):
    assert is_local(host) == local
