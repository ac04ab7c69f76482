"""Encoders in fairseq's format, made here from models of ours: what is inferred, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from s2st.config import UserError
from s2st.fairseq.checkpoints import read_encoder
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

TINY = EncoderConfig(
    conv_layers=((16, 10, 5), (16, 3, 2), (16, 2, 2)),
    width=128,
    num_layers=2,
    num_heads=2,
    ffn_dim=48,
    positional_kernel=8,
    positional_groups=4,
)
FAIRSEQ_NAMES = (
    (r"^convolutions\.(\d+)\.(weight|bias)", r"feature_extractor.conv_layers.\1.0.\2"),
    (r"^convolutions\.(\d+)\.norm\.", r"feature_extractor.conv_layers.\1.2."),
    (r"^feature_norm", "layer_norm"),
    (r"^feature_projection", "post_extract_proj"),
    (r"^positional", "encoder.pos_conv.0"),
    (r"^encoder_norm", "encoder.layer_norm"),
    (r"^layers", "encoder.layers"),
    (r"attention_norm", "self_attn_layer_norm"),
    (r"output_norm", "final_layer_norm"),
    (r"attention\.(query|key|value|output)", lambda found: f"self_attn.{found[1].replace('output', 'out')}_proj"),
    (r"expand", "fc1"),
    (r"contract", "fc2"),
    (r"^mask_embedding", "mask_emb"),
    (r"^final_projection", "final_proj"),
    (r"^label_embeddings", "label_embs_concat"),
)


def write(path: Path, model: SpeechEncoder, cfg: Any = None, **more: torch.Tensor) -> None:
    weights = {}
    for name, value in model.state_dict().items():
        for pattern, replacement in FAIRSEQ_NAMES:
            name = re.sub(pattern, replacement, name)
        weights[name.replace("query", "q").replace("key", "k").replace("value", "v")] = value
    torch.save({"model": {**weights, **more}, "cfg": cfg}, path)


def check_same(read: torch.nn.Module, model: torch.nn.Module) -> None:
    given = model.state_dict()
    assert set(read.state_dict()) == set(given)
    for name, value in read.state_dict().items():
        assert torch.equal(value, given[name].float()), name


def test_shapes_tell_what_a_file_without_settings_does_not(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model = SpeechEncoder(TINY)
    quantizer = {"quantizer.vars": torch.ones(3), "feature_extractor.conv_layers.0.0.bias": torch.ones(16)}
    write(path, model.half(), **quantizer)
    read, info = read_encoder(str(path))
    assert read.config == TINY
    assert info == {"architecture": "wav2vec2", "source": str(path)}
    check_same(read, model)


def test_hubert_is_known_by_its_heads(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    fields = {name: getattr(TINY, name) for name in TINY.__dataclass_fields__}
    model = Hubert(HubertConfig(**fields, final_dim=8, num_classes=5))
    write(path, model)
    read, info = read_encoder(str(path))
    assert read.config == model.config
    assert info["architecture"] == "hubert"
    check_same(read, model)


def test_settings_are_read_without_being_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "model.pt", tmp_path / "trace"
    model = SpeechEncoder(TINY)
    settings = {"layer_norm_first": True, "encoder_attention_heads": 4, "encoder_layerdrop": 0.0}
    settings["conv_feature_layers"] = "[(16, 10, 4)] + [(16,3,3)] * 1 + [(16, 2, 1)]"
    write(path, model, {"model": settings, "task": {"normalize": True}})
    config = read_encoder(str(path))[0].config
    assert (config.pre_ln, config.num_heads, config.layer_drop, config.normalize_waveform) == (True, 4, 0.0, True)
    assert config.conv_layers == ((16, 10, 4), (16, 3, 3), (16, 2, 1))
    for text in (
        f"__import__('os').system('touch {trace}')",
        "[(1, 2, 3)] * 60 * 60 * 60 * 60",
        "[1]",
        "(" * 10_000,
        "[",
    ):
        write(path, model, {"model": {"conv_feature_layers": text}})
        with pytest.raises(UserError, match="which is no list of convolutions"):
            read_encoder(str(path))
    assert not trace.exists()


def test_encoders_that_differ_from_ours_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    model = SpeechEncoder(TINY)
    for settings, message in (
        ({"activation_fn": "relu"}, "has activation_fn=relu, but encoders here have gelu"),
        ({"layer_type": "conformer"}, "has layer_type=conformer"),
        ({"conv_feature_layers": "[(8, 10, 5)] * 3"}, "does not fit its settings"),
        ({"encoder_attention_heads": 3}, "width=128 must be a multiple of num_heads=3"),
    ):
        write(path, model, {"model": settings})
        with pytest.raises(UserError, match=message):
            read_encoder(str(path))
    write(path, model, {"model": {}, "task": {"sample_rate": 8_000}})
    with pytest.raises(UserError, match="hears 8000 samples a second, but speech here has 16000"):
        read_encoder(str(path))
    write(path, model, **{"encoder.layers.0.adapter.weight": torch.ones(2)})
    with pytest.raises(UserError, match=r"no plain HuBERT or wav2vec 2\.0: layers\.0\.adapter\.weight"):
        read_encoder(str(path))
    write(path, SpeechEncoder(TINY).layers)
    with pytest.raises(UserError, match="holds no encoder of HuBERT or wav2vec"):
        read_encoder(str(path))
