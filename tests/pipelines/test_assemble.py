import shutil

import pytest

from pipelines.assemble import AssembleConfig, check_inputs, run
from s2st import storage
from s2st.config import UserError
from s2st.translator import Translator
from stages.stage import Step


@pytest.fixture
def parts(tiny_model, tmp_path):
    """A function that makes a step of the parts of a run; others than the usual ones can be named."""
    for name in ("codebook", "translator", "vocoders"):
        shutil.copytree(f"{tiny_model}/{name}", tmp_path / name)

    def step(**changes):
        inputs = {"codebook": ["codebook"], "translator": ["translator"], "vocoders": ["vocoders/en", "vocoders/hi"]}
        return Step("model", "pipelines.assemble", str(tmp_path), {}, {**inputs, **changes})

    return step


def test_a_model_is_the_copy_of_its_parts(parts, tiny_model):
    step = parts()
    check_inputs(AssembleConfig(), step)
    assert run(AssembleConfig(), step).rows_out == 4
    assert storage.read_json(f"{step.output}/model.json") == storage.read_json(f"{tiny_model}/model.json")
    Translator.load(step.output)


def test_parts_that_do_not_go_together_are_told(parts, tmp_path):
    for changes, message in (
        ({"vocoders": ["vocoders/en", "vocoders/hi", "vocoders/en"]}, "two of the vocoders speak 'en'; name one"),
        ({"translator": ["codebook"]}, "holds a codebook, but a unit_transformer or s2ut or .* is needed there"),
        ({"vocoders": ["translator"]}, "holds a unit_transformer, but a unit_hifigan or unit_vocos is needed there"),
    ):
        with pytest.raises(UserError, match=message):
            check_inputs(AssembleConfig(), parts(**changes))
    config = storage.read_json(f"{tmp_path}/translator/config.json")
    config["info"]["units"] = "mfcc-0-others"
    storage.write_json(f"{tmp_path}/translator/config.json", config)
    with pytest.raises(UserError, match="'model': .*/translator was trained on units mfcc-0-others, but the codebook"):
        check_inputs(AssembleConfig(), parts())
