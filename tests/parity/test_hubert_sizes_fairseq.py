"""Base, large and xlarge against what fairseq makes of its own configurations of pre-training."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from s2st.config import build
from s2st.fairseq.checkpoints import SETTINGS, hubert_weights
from s2st.models.hubert import LARGE, XLARGE, Hubert, HubertConfig

fairseq = pytest.importorskip("fairseq")
hubert = pytest.importorskip("fairseq.models.hubert.hubert")
tasks = pytest.importorskip("fairseq.tasks.hubert_pretraining")

CONFIGS = Path(fairseq.__file__).parent / "examples" / "hubert" / "config" / "pretrain"
NAMES = {"base": "hubert_base_librispeech", "large": "hubert_large_librivox", "xlarge": "hubert_xlarge_librivox"}


def read_config(name: str) -> dict[str, Any]:
    path = CONFIGS / f"{NAMES[name]}.yaml"
    if not path.is_file():
        pytest.skip("this fairseq comes without its examples")
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize(("name", "config"), [("base", HubertConfig()), ("large", LARGE), ("xlarge", XLARGE)])
def test_shapes_and_settings_are_those_of_fairseq(name: str, config: HubertConfig, monkeypatch) -> None:
    recipe = read_config(name)
    # drawing values needs memory, which shapes do not
    monkeypatch.setattr("fairseq.models.wav2vec.wav2vec2.init_bert_params", lambda module: None)
    settings = {key: value for key, value in recipe["model"].items() if key not in ("_name", "label_rate")}
    dictionary = fairseq.data.Dictionary()
    for label in range(config.num_classes):
        dictionary.add_symbol(str(label))
    with torch.device("meta"):
        task = tasks.HubertPretrainingConfig(data=".", labels=["km"], label_rate=50)
        theirs = hubert.HubertModel(hubert.HubertConfig(label_rate=50, **settings), task, [dictionary])
        ours = Hubert(config)
    shapes = {key: value.shape for key, value in ours.state_dict().items()}
    assert shapes == {key: value.shape for key, value in hubert_weights(theirs.state_dict()).items()}
    for key, field in SETTINGS.items():
        if key in settings and field != "label_rate":
            assert getattr(config, field) == settings[key], key
    assert config.normalize_waveform == recipe["task"].get("normalize", False)


def test_the_docs_tell_the_sizes() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hubert.md").read_text(encoding="utf-8")
    (block,) = [text for text in page.split("```yaml\n")[1:] if text.startswith("model: {conv_norm")]
    large = build(HubertConfig, yaml.safe_load(block.partition("```")[0])["model"], "hubert.md")
    assert large == LARGE
    changes = yaml.safe_load("{" + page.partition("xlarge that with `")[2].partition("`")[0] + "}")
    assert dataclasses.replace(large, **changes) == XLARGE
