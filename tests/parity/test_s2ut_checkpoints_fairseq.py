"""S2UT checkpoints: fairseq's own task loads and generates from ours, and we read what fairseq saves."""

import dataclasses
import functools
from argparse import Namespace
from pathlib import Path

import pytest
import torch

from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.multitask import MULTITASK
from s2st.fairseq.s2ut_checkpoints import read_s2ut, write_s2ut
from s2st.fairseq.speech_config import CONFIG, DICTIONARY, s2ut_config, write_config
from s2st.models.auxiliary_tasks import TaskConfig
from s2st.models.pretrained_source import PretrainedSourceConfig
from s2st.models.s2ut import S2ut, S2utConfig, UnitDecoderConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.models.speech_source import SpeechSourceConfig
from s2st.speech_decoding import translate_speech
from s2st.units import EOS, NUM_SPECIALS, reduce

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq import checkpoint_utils

FRAMES = 45
QUIET = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
TINY = {
    "num_units": 12,
    "source": SpeechSourceConfig(num_layers=2, model_dim=32, ffn_dim=48, conv_dim=40, max_frames=100, **QUIET),
    "decoder": UnitDecoderConfig(2, 24, 2, 48, **QUIET),
    "max_steps": 60,
}
SMALL_ENCODER = EncoderConfig(width=32, num_layers=1, num_heads=2, ffn_dim=32, positional_groups=4)
TASKS = {
    "source_letter": TaskConfig("source_letters", ("a", "b"), encoder_layer=1, loss_weight=8.0),
    "target_ctc": TaskConfig("target_letters", ("c", "d", "e"), "ctc", decoder_layer=2, loss_weight_max=2.0,
                             loss_weight_min=0.5, loss_weight_decay_steps=9),
}  # fmt: skip


@pytest.fixture
def load(tmp_path: Path, monkeypatch):
    """A function that has fairseq load a file of this folder: its model, task and settings."""
    write_config(tmp_path / CONFIG, s2ut_config(str(tmp_path)))
    monkeypatch.setattr(torch, "load", functools.partial(torch.load, weights_only=False))

    def make(**settings):
        file, settings = str(tmp_path / "s2ut.pt"), {"data": str(tmp_path), **settings}
        (model,), cfg, task = checkpoint_utils.load_model_ensemble_and_task([file], settings)
        return model.eval(), task, cfg

    return make


def made(randomize, **settings) -> S2ut:
    model = S2ut(S2utConfig(**TINY, **settings)).eval()
    randomize(model)
    for name, parameter in model.named_parameters():
        if name.endswith("embed_tokens.weight"):
            parameter.data[1] = 0  # padding
    for row in (0, 3, *range(16, len(model.decoder.embed_tokens.weight))):  # <s>, <unk> and languages never come:
        model.decoder.embed_tokens.weight.data[row] = -5.0 - row  # the last norm gives about 0.3
    return model


@pytest.mark.parametrize("settings", [{}, {"tasks": TASKS}, {"units_per_step": 3}], ids=["plain", "tasks", "stacked"])
def test_fairseq_loads_and_generates(settings: dict, tmp_path: Path, load, randomize) -> None:
    ours = made(randomize, **settings)
    write_s2ut(str(tmp_path / "s2ut.pt"), ours, tmp_path)
    theirs, task, _ = load()
    features, lengths = torch.randn(4, FRAMES, 80), torch.full((4,), FRAMES)
    beam = 1 if ours.config.units_per_step > 1 else 3
    generator = task.build_generator([theirs], Namespace(beam=beam, nbest=1, max_len_a=0.2, max_len_b=4))
    sample = {"net_input": {"src_tokens": features, "src_lengths": lengths}, "speaker": None}
    expected = task.inference_step(generator, [theirs], sample)
    options = SearchOptions(beam, max_len_a=4.0 if beam == 1 else 0.2, max_len_b=0 if beam == 1 else 4)
    found = translate_speech(ours, features, lengths, ["hi"] * 4, options)
    for (best, *_), (their, *_) in zip(found, expected, strict=True):
        tokens = their["tokens"][their["tokens"] != EOS]
        assert best.units.tolist() == reduce(tokens.numpy() - NUM_SPECIALS)[0].tolist()
    assert {name.removesuffix("_decoder") for name, _ in theirs.named_children()} >= set(ours.config.tasks)

    again, info = read_s2ut(str(tmp_path / "s2ut.pt"), tmp_path)
    assert again.config == ours.config
    assert info["heads_left_out"] == []
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=0, rtol=0)


def test_what_fairseq_saves_is_read(tmp_path: Path, load, randomize) -> None:
    write_s2ut(str(tmp_path / "s2ut.pt"), made(randomize, tasks=TASKS), tmp_path)
    theirs, _, cfg = load()
    randomize(theirs)
    state = {name: value.half() for name, value in theirs.state_dict().items()}
    theirs.load_state_dict(state)
    torch.save({"args": None, "cfg": cfg, "model": state}, tmp_path / "saved.pt")
    source = (torch.randn(2, FRAMES, 80), torch.full((2,), FRAMES))
    expected, _ = theirs(*source, torch.tensor([[EOS, 4, 5, 6]] * 2))
    for data, left_out in ((tmp_path, []), (None, sorted(TASKS))):
        model, info = read_s2ut(str(tmp_path / "saved.pt"), data)
        found, _ = model(*source, torch.full((2,), EOS), torch.tensor([[4, 5, 6, EOS]] * 2))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert info["heads_left_out"] == left_out
        assert list(model.config.tasks) == sorted(set(TASKS) - set(left_out))


def test_language_tags(tmp_path: Path, load, randomize) -> None:
    ours = made(randomize, languages=("en", "hi"))
    write_s2ut(str(tmp_path / "s2ut.pt"), ours, tmp_path)
    write_config(tmp_path / CONFIG, dataclasses.replace(s2ut_config(str(tmp_path)), language_first=True))
    theirs, task, _ = load(infer_target_lang="hi")
    features, lengths = torch.randn(3, FRAMES, 80), torch.full((3,), FRAMES)
    generator = task.build_generator([theirs], Namespace(beam=2, nbest=1, max_len_a=0.2, max_len_b=4))
    sample = {"net_input": {"src_tokens": features, "src_lengths": lengths}}
    expected = task.inference_step(generator, [theirs], sample)
    found = translate_speech(ours, features, lengths, ["hi"] * 3, SearchOptions(2, max_len_a=0.2, max_len_b=4))
    for (best, *_), (their, *_) in zip(found, expected, strict=True):
        assert best.score == pytest.approx(float(their["score"]), abs=1e-4)
    assert read_s2ut(str(tmp_path / "s2ut.pt"), tmp_path)[0].config == ours.config
    with pytest.raises(UserError, match="has 2 symbols beside its units"):
        read_s2ut(str(tmp_path / "s2ut.pt"))
    Dictionary.of("abcdefghijklmn").save(tmp_path / DICTIONARY)
    with pytest.raises(UserError, match="must hold the 14 symbols of .* units 0, 1, 2"):
        read_s2ut(str(tmp_path / "s2ut.pt"), tmp_path)


def test_what_fits_neither_side_is_told(tmp_path: Path, randomize) -> None:
    with pytest.raises(UserError, match="hears filterbanks without deltas"):
        write_s2ut("x.pt", S2ut(S2utConfig(**TINY, pretrained=PretrainedSourceConfig(SMALL_ENCODER))), tmp_path)
    write_s2ut(str(tmp_path / "s2ut.pt"), made(randomize, tasks=TASKS), tmp_path)
    (tmp_path / MULTITASK).write_text("source_letter: {}")
    with pytest.raises(UserError, match="task 'source_letter' has no dict or data"):
        read_s2ut(str(tmp_path / "s2ut.pt"), tmp_path)
    (tmp_path / MULTITASK).write_text("source_letter: {dict: dict.txt, data: .}")
    with pytest.raises(UserError, match="has no task 'target_ctc', which the checkpoint has"):
        read_s2ut(str(tmp_path / "s2ut.pt"), tmp_path)
    torch.save({"model": {"encoder.x": torch.zeros(1)}, "args": None, "cfg": {}}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="holds no s2ut_transformer"):
        read_s2ut(str(tmp_path / "other.pt"), tmp_path)
