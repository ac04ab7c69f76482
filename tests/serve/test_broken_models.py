import json
import shutil
from pathlib import Path

import pytest

from s2st.config import UserError
from serve.app import build


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def rename_units(folder):
    file = folder / "vocoders" / "hi" / "config.json"
    config = json.loads(file.read_text())
    config["info"]["units"] = "mfcc-0-0-other"
    file.write_text(json.dumps(config))


BROKEN = {
    "is no JSON .*half-written": lambda folder: cut(folder / "model.json"),
    "needs 'units', 'directions' and 'vocoders'": lambda folder: (folder / "model.json").write_text("{}"),
    "codebook/config.json is no JSON": lambda folder: cut(folder / "codebook" / "config.json"),
    "needs 'model', 'config' and 'info'": lambda folder: (folder / "translator" / "config.json").write_text("[]"),
    "translator/weights.safetensors cannot be read .*half-written": lambda folder: cut(
        folder / "translator" / "weights.safetensors"
    ),
    "there is no file .*weights.safetensors": lambda folder: (folder / "codebook" / "weights.safetensors").unlink(),
    "there is no model in .*vocoders/en": lambda folder: shutil.rmtree(folder / "vocoders" / "en"),
    "was trained on units mfcc-0-0-other": rename_units,
}


@pytest.mark.parametrize("reason", BROKEN)
def test_a_broken_model_is_refused_before_it_is_deployed(reason, tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(Path(tiny_model), folder)
    BROKEN[reason](folder)
    with pytest.raises(UserError, match=reason) as refused:
        build({"model": str(folder)})
    assert "\n" not in str(refused.value)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no model in"):
        build({"model": str(tmp_path / "nowhere")})
