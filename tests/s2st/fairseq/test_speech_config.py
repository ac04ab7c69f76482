import re
from dataclasses import replace

import pytest
import yaml

from s2st.config import UserError
from s2st.fairseq.speech_config import read_config, s2spect_config, s2ut_config, write_config

VOCODER = {"type": "code_hifigan", "config": "g.json", "checkpoint": "g.pt"}


def test_comes_back(tmp_path):
    path = tmp_path / "config.yaml"
    configs = [s2ut_config("/data"), s2spect_config("/dätä")]
    for config in [*configs, replace(configs[0], language_first=True, others={"vocoder": VOCODER})]:
        write_config(path, config)
        assert read_config(path) == config


def test_the_old_key_is_read(tmp_path):
    path = tmp_path / "config.yaml"
    specaugment = {"time_wrap_W": 0, "freq_mask_N": 2}
    path.write_text(yaml.safe_dump({"transforms": {"_train": ["specaugment"]}, "specaugment": specaugment}))
    config = read_config(path)
    assert (config.transforms, config.specaugment) == ({"_train": ["specaugment"]}, {"freq_mask_N": 2})
    assert (config.audio_root, config.output_sample_rate) == ("", 22_050)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{transforms: {_train: [a]}, feature_transforms: {_train: [b]}}", "has both 'transforms' and"),
        ("{feature_transforms: {_train: [specaugment]}}", "but its section is missing"),
        ("{feature_transforms: {_train: specaugment}}", "write a list of names for each split"),
        ("[1]", "must hold a mapping of settings"),
        ("{", "is not valid YAML"),
    ],
)
def test_contradictions_are_refused(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)):
        read_config(path)
