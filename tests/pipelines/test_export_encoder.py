from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import import_encoder
from pipelines.export_encoder import STAGE, check_inputs, run
from s2st import checkpoint
from s2st.config import UserError, build
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig, encoder_config
from s2st.models.speech_encoder import SpeechEncoder
from stages.stage import Counts, Step

CONFIG = HubertConfig(
    conv_layers=((16, 10, 5), (16, 2, 2)),
    width=32,
    num_layers=1,
    num_heads=2,
    ffn_dim=48,
    positional_kernel=8,
    final_dim=8,
    num_classes=5,
)
MODELS = {
    "hubert": Hubert(CONFIG),
    "hubert_ctc": HubertCtc(HubertCtcConfig(("|", "a"), encoder_config(CONFIG))),
    "speech_encoder": SpeechEncoder(encoder_config(replace(CONFIG, conv_norm="layer", pre_ln=True))),
}


def export(folder: Path, **settings: Any) -> Counts:
    config = build(STAGE.config, settings, "exported")
    step = Step("exported", "pipelines.export_encoder", str(folder), settings, {"encoder": ["encoder"]})
    check_inputs(config, step)
    return run(config, step)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("form", ["fairseq", "huggingface"])
def test_what_is_exported_can_be_imported(tmp_path: Path, name: str, form: str) -> None:
    model = MODELS[name]
    checkpoint.save(f"{tmp_path}/encoder", model, {"architecture": "wav2vec2"} if name == "speech_encoder" else {})
    if (name, form) == ("speech_encoder", "fairseq"):
        with pytest.raises(UserError, match="encoder has no heads of HuBERT's pre-training.*write it as huggingface"):
            export(tmp_path, format=form)
        return
    assert export(tmp_path, format=form) == Counts(0, 1, unit="encoders")
    source = f"{tmp_path}/exported" + ("/hubert.pt" if form == "fairseq" else "")
    settings = {form: source, "languages": ["en"] if name == "hubert_ctc" else []}
    step = Step("imported", "pipelines.import_encoder", str(tmp_path), settings, {})
    import_encoder.run(build(import_encoder.STAGE.config, settings, "imported"), step)
    read, info = checkpoint.load(f"{tmp_path}/imported")
    assert info["architecture"] == ("wav2vec2" if name == "speech_encoder" else "hubert")
    assert type(read) is (SpeechEncoder if (name, form) == ("hubert", "huggingface") else type(model))
    for weight, value in read.state_dict().items():
        assert torch.equal(value, model.state_dict()[weight]), weight


@pytest.mark.parametrize("form", ["fairseq", "huggingface"])
def test_two_boundaries_of_words_would_be_one(tmp_path: Path, form: str) -> None:
    model = HubertCtc(HubertCtcConfig((" ", "|", "a"), encoder_config(CONFIG)))
    checkpoint.save(f"{tmp_path}/encoder", model)
    with pytest.raises(UserError, match=r"/encoder hears both ' ' and '\|', which are one symbol"):
        export(tmp_path, format=form)


def test_other_models_and_formats_are_refused(tmp_path: Path) -> None:
    checkpoint.save(f"{tmp_path}/encoder", Codebook(CodebookConfig(num_units=2, feature_dim=2)))
    with pytest.raises(UserError, match="holds a codebook, but a hubert or hubert_ctc or speech_encoder is needed"):
        export(tmp_path, format="huggingface")
    with pytest.raises(UserError, match="format"):
        export(tmp_path, format="onnx")
    with pytest.raises(UserError, match="the setting 'format' is missing"):
        export(tmp_path)
