import dataclasses
import json
import typing

import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError, build
from s2st.models.auxiliary_tasks import TaskConfig
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig

TINY = UnitTransformerConfig(
    num_layers=1, model_dim=8, num_heads=2, ffn_dim=8, num_units=5, languages=("en", "hi"), merges=((0, 1),)
)


def test_a_model_comes_back_with_its_tied_weights_and_info(tmp_path):
    model = UnitTransformer(TINY).eval()
    checkpoint.save(str(tmp_path), model, {"units": "x"})
    loaded, info = checkpoint.load(str(tmp_path), "unit_transformer")
    assert info == {"units": "x"}
    assert loaded.config == TINY
    assert not loaded.training
    arguments = torch.tensor([[0, 4, 5, 2, 10]]), torch.tensor([5]), torch.tensor([[11, 4, 11]])
    torch.testing.assert_close(loaded(*arguments), model(*arguments))
    assert checkpoint.fingerprint(loaded) == checkpoint.fingerprint(model)


def test_the_fingerprint_follows_the_weights():
    codebook = Codebook(CodebookConfig(3, 2))
    before = checkpoint.fingerprint(codebook)
    codebook.centroids[0, 0] += 1e-3
    assert checkpoint.fingerprint(codebook) != before


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="there is no model in"):
        checkpoint.load(str(tmp_path))
    checkpoint.save(str(tmp_path), Codebook(CodebookConfig(3, 2)))
    with pytest.raises(UserError, match="holds a codebook, but a hubert is needed"):
        checkpoint.load(str(tmp_path), "hubert")


def test_weights_of_another_shape_are_refused(tmp_path):
    checkpoint.save(str(tmp_path), Codebook(CodebookConfig(3, 2)))
    config = json.loads((tmp_path / "config.json").read_text())
    config["config"]["num_units"] = 4
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="does not fit"):
        checkpoint.load(str(tmp_path))


def test_an_unknown_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model": "os.system", "config": {}, "info": {}}')
    with pytest.raises(UserError, match="names the model 'os.system'"):
        checkpoint.load(str(tmp_path))


@pytest.mark.parametrize("config", [TaskConfig, *(config for config, _ in checkpoint.MODELS.values())])
def test_one_nested_setting_changes_no_other(config) -> None:
    """What a mapping leaves out is as the field that holds it says, not as its class does."""
    for field in dataclasses.fields(config):
        default = None if field.default_factory is dataclasses.MISSING else field.default_factory()
        if dataclasses.is_dataclass(default):
            assert build(typing.get_type_hints(config)[field.name], {}, "x") == default
