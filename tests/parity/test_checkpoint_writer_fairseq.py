"""Files that we write, loaded by fairseq itself, and fine-tuned files of fairseq, read by us; tiny and random."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from s2st.fairseq.checkpoint_writer import encoder_settings, write_encoder
from s2st.fairseq.checkpoints import read_ctc, read_encoder
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig, encoder_config

checkpoint_utils = pytest.importorskip("fairseq.checkpoint_utils")
ATOL = 2e-5  # of features and scores near 1

BASE = HubertConfig(
    conv_layers=((32, 10, 5), (32, 3, 2), (32, 3, 2), (24, 2, 2)),
    width=48,
    num_layers=3,
    num_heads=4,
    ffn_dim=96,
    positional_kernel=8,
    positional_groups=4,
    final_dim=16,
    num_classes=7,
    label_rate=400,  # one a frame
)
LARGE = replace(BASE, conv_norm="layer", pre_ln=True, normalize_waveform=True, positional_kernel=7, label_rate=800)
STYLES = {"base": BASE, "base with biases": replace(BASE, conv_bias=True), "large": LARGE}
LETTERS = ("|", "E", "T", "A")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give fairseq's own loader; PyTorch's default since 2.6, weights_only, refuses fairseq's files, too."""

    def loader(path: Path) -> tuple[Any, Any, Any]:
        monkeypatch.setattr(torch, "load", functools.partial(torch_load, weights_only=False))
        (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([str(path)])
        monkeypatch.setattr(torch, "load", torch_load)
        return model.eval(), cfg, task

    torch_load = torch.load
    return loader


def hear(config: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Make waveforms, and what fairseq's caller gives of them to the model."""
    waveform = torch.randn(2, 3001) * 0.1 + 0.02
    normalized = torch.nn.functional.layer_norm(waveform, waveform.shape[1:])
    return waveform, normalized if config.normalize_waveform else waveform


def check_same(read: torch.nn.Module, model: torch.nn.Module) -> None:
    assert type(read) is type(model)
    state = read.state_dict()
    assert set(state) == set(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(state[name], value), name


@pytest.mark.parametrize("config", STYLES.values(), ids=STYLES)
def test_fairseq_loads_a_pretrained_model_with_its_labels(tmp_path, config, randomize, load, monkeypatch) -> None:
    model = Hubert(config).eval()
    randomize(model)
    path = tmp_path / "hubert.pt"
    write_encoder(str(path), model)
    reference, _, task = load(path)
    assert type(reference).__name__ == "HubertModel"
    assert task.cfg.normalize == config.normalize_waveform
    assert task.dictionaries[0].symbols == ["<s>", "<pad>", "</s>", "<unk>", *"0123456"]
    assert (task.dictionaries[0].pad(), task.dictionaries[0].index("6")) == (1, 10)

    waveform, given = hear(config)
    lengths = torch.tensor([3001, 3001])
    with torch.no_grad():
        for number in range(1, 4):
            expected, _ = reference.extract_features(given, output_layer=number)
            features, frames = model.extract(waveform, lengths, number)
            torch.testing.assert_close(features, expected, atol=ATOL, rtol=1e-5)

    num_frames = int(frames[0])
    mask = torch.arange(num_frames) % 10 < torch.tensor([[6], [3]])
    labels = torch.randint(7, (2, num_frames * config.label_rate // 400))
    monkeypatch.setattr(
        reference, "apply_mask", lambda x, *_: (torch.where(mask.unsqueeze(-1), reference.mask_emb, x), mask)
    )
    output = reference(given, [labels + 4], torch.zeros_like(given, dtype=torch.bool))
    given_logits = reference.get_logits(output, True)[0].detach()  # of the label, then of all, minus infinity at it
    with torch.no_grad():
        projected = model.project(model.convolve(waveform, lengths)[0])
        hidden = torch.where(mask.unsqueeze(-1), model.mask_embedding, projected)
        logits = model.logits(model.encode(hidden, torch.ones_like(mask)))[mask]
    rows = labels[:, :: config.label_rate // 400][mask] + 4
    torch.testing.assert_close(logits.gather(1, rows[:, None]), given_logits[:, :1], atol=ATOL, rtol=1e-5)
    others = given_logits[:, 1:].isfinite()
    assert (others.sum(1) == 10).all()
    torch.testing.assert_close(logits[others], given_logits[:, 1:][others], atol=ATOL, rtol=1e-5)

    read, info = read_encoder(str(path))
    check_same(read, model)
    assert read.config == config
    assert info["architecture"] == "hubert"


@pytest.fixture
def repaired(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add what fairseq 0.12 reads of HubertCtcConfig and forgot there: as released, it loads no such file at all."""
    from fairseq import models
    from fairseq.models.hubert import hubert_asr

    @dataclass
    class Repaired(hubert_asr.HubertCtcConfig):
        autoregressive: bool = False

    monkeypatch.setitem(models.MODEL_DATACLASS_REGISTRY, "hubert_ctc", Repaired)
    return Repaired


@pytest.mark.parametrize("config", STYLES.values(), ids=STYLES)
def test_fairseq_loads_a_fine_tuned_model_alone(tmp_path, config, randomize, load, repaired) -> None:
    symbols = (" ", "E", "T", "A")
    model = HubertCtc(HubertCtcConfig(symbols, encoder_config(config), final_dropout=0.2)).eval()
    randomize(model)
    path = tmp_path / "ctc.pt"
    write_encoder(str(path), model)
    reference, cfg, task = load(path)
    assert type(reference).__name__ == "HubertCtc"
    assert task.target_dictionary.symbols[4:] == list(LETTERS), "fairseq has | for the space"
    assert (cfg.model.final_dropout, reference.w2v_encoder.w2v_model.mask_channel_prob) == (0.2, 0.5)
    waveform, given = hear(config)
    with torch.no_grad():
        expected = reference(source=given, padding_mask=torch.zeros(2, 3001, dtype=torch.bool))["encoder_out"]
        logits, _ = model(waveform, torch.tensor([3001, 3001]))
    torch.testing.assert_close(logits, expected.transpose(0, 1), atol=ATOL, rtol=1e-5)

    read, info = read_ctc(str(path))
    check_same(read, model)
    assert read.config == replace(model.config, symbols=LETTERS)
    assert info == {"architecture": "hubert", "source": str(path)}


@pytest.mark.parametrize("config", STYLES.values(), ids=STYLES)
def test_what_fairseq_fine_tunes_from_our_file_is_read(tmp_path, config, randomize, repaired, monkeypatch) -> None:
    """fairseq builds its model around the file that we wrote, and saves it as its trainer does."""
    from fairseq.data import Dictionary
    from fairseq.models.hubert import hubert_asr
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig, HubertPretrainingTask
    from omegaconf import OmegaConf

    randomize(pretrained := Hubert(config))
    write_encoder(f"{tmp_path}/hubert.pt", pretrained)
    dictionary = Dictionary()
    for letter in LETTERS:
        dictionary.add_symbol(letter)
    task = {"labels": ["ltr"], "data": "/of/the/trainer", "fine_tuning": True, "normalize": config.normalize_waveform}
    settings = {"mask_prob": 0.65, "mask_channel_prob": 0.25, "apply_mask": True, "layerdrop": 0.07, "dropout": 0.02}
    given = {**vars(repaired(w2v_path=f"{tmp_path}/hubert.pt", **settings)), "_name": "hubert_ctc"}
    cfg = OmegaConf.create({"model": given, "task": {"_name": "hubert_pretraining", **task}})
    made = HubertPretrainingTask(HubertPretrainingConfig(**task))
    made.load_state_dict({"target_dictionary": dictionary})
    with monkeypatch.context() as patch:
        patch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))
        reference = hubert_asr.HubertCtc.build_model(cfg.model, made).eval()
    randomize(reference)
    assert "label_embs_concat" in reference.w2v_encoder.w2v_model.state_dict(), "of the pre-training, left over"
    path = tmp_path / "checkpoint_best.pt"
    state = {"args": None, "cfg": cfg, "model": reference.state_dict(), "task_state": made.state_dict()}
    checkpoint_utils.torch_persistent_save(state, str(path))

    model, info = read_ctc(str(path))
    assert model.config.symbols == LETTERS
    assert info["architecture"] == "hubert"
    assert (model.config.mask_probability, model.config.channel_mask_probability) == (0.65, 0.25)
    assert (model.config.encoder.layer_drop, model.config.encoder.dropout) == (0.07, 0.02)
    waveform, given = hear(config)
    with torch.no_grad():
        expected = reference(source=given, padding_mask=torch.zeros(2, 3001, dtype=torch.bool))["encoder_out"]
        logits, _ = model(waveform, torch.tensor([3001, 3001]))
    torch.testing.assert_close(logits, expected.transpose(0, 1), atol=ATOL, rtol=1e-5)


def test_rows_follow_the_numbers_of_the_labels(tmp_path, randomize) -> None:
    """fairseq's dictionary may have been counted, which sorts its labels by frequency."""
    from fairseq.data import Dictionary

    randomize(model := Hubert(BASE))
    path = tmp_path / "hubert.pt"
    write_encoder(str(path), model)
    content = torch.load(path, weights_only=False)
    order = [3, 0, 6, 1, 2, 5, 4]
    dictionary = Dictionary()
    for label in order:
        dictionary.add_symbol(str(label))
    rows = content["model"]["label_embs_concat"]
    content["model"]["label_embs_concat"] = rows[[0, 1, 2, 3, *(label + 4 for label in order)]]
    content["task_state"] = {"dictionaries": [dictionary]}
    torch.save(content, path)
    check_same(read_encoder(str(path))[0], model)


@pytest.mark.parametrize("config", [BASE, LARGE], ids=["base", "large"])
def test_a_fine_tuned_wav2vec2_of_fairseq_is_read(tmp_path, config, randomize) -> None:
    from types import SimpleNamespace

    from fairseq.data import Dictionary
    from fairseq.models.wav2vec import wav2vec2_asr
    from omegaconf import OmegaConf

    dictionary = Dictionary()
    for letter in LETTERS:
        dictionary.add_symbol(letter)
    inner = {**encoder_settings(config), "_name": "wav2vec2", "quantize_targets": True, "latent_vars": 4}
    hears = {"normalize": config.normalize_waveform, "data": "."}
    w2v_args = {"model": inner, "task": {"_name": "audio_pretraining", **hears}}
    outer = wav2vec2_asr.Wav2Vec2CtcConfig(w2v_path="", apply_mask=False, final_dropout=0.3, **hears)
    given = {**vars(outer), "w2v_args": w2v_args, "ddp_backend": "no_c10d", "_name": "wav2vec_ctc"}
    cfg = OmegaConf.create({"model": given, "task": {"_name": "audio_finetuning", "labels": "ltr", **hears}})
    task = SimpleNamespace(target_dictionary=dictionary)
    reference = wav2vec2_asr.Wav2VecCtc.build_model(cfg.model, task).eval()
    randomize(reference)
    path = tmp_path / "checkpoint_best.pt"
    state = {"args": None, "cfg": cfg, "model": reference.state_dict(), "task_state": vars(task)}
    checkpoint_utils.torch_persistent_save(state, str(path))

    model, info = read_ctc(str(path))
    assert model.config.symbols == LETTERS
    assert info["architecture"] == "wav2vec2"
    assert (model.config.mask_probability, model.config.final_dropout) == (0, 0.3)
    waveform, heard = hear(config)
    with torch.no_grad():
        expected = reference(source=heard, padding_mask=torch.zeros(2, 3001, dtype=torch.bool))["encoder_out"]
        logits, _ = model(waveform, torch.tensor([3001, 3001]))
    torch.testing.assert_close(logits, expected.transpose(0, 1), atol=ATOL, rtol=1e-5)
