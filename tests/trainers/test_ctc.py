"""Fine-tuning by CTC: freezing, validation, and a training of letters and one of units."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import audio, checkpoint
from s2st.config import UserError, build
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_symbols import SpeechToSymbols
from s2st.units import reduce
from stages import datasets
from stages.stage import Step
from trainers import ctc, run
from trainers.ctc import CtcObjective, TrainCtcConfig

ENCODER = {
    "conv_layers": ((16, 10, 5), (16, 8, 8), (16, 8, 8)),
    "width": 32,
    "num_layers": 1,
    "num_heads": 2,
    "ffn_dim": 32,
    "positional_kernel": 8,
    "positional_groups": 4,
}


def batch():
    torch.manual_seed(0)
    return {
        "waveform": torch.randint(-3000, 3000, (2, 9000), dtype=torch.int16),
        "lengths": torch.tensor([9000, 7000]),
        "labels": torch.tensor([[4, 5, 5], [5, 0, 0]]),
        "label_lengths": torch.tensor([3, 1]),
    }


def test_the_encoder_is_frozen_in_the_first_updates() -> None:
    model = HubertCtc(HubertCtcConfig(("a", "b"), EncoderConfig(**ENCODER, layer_drop=0.0), channel_mask_length=4))
    objective = CtcObjective(model, freeze_updates=2)
    for step, learns in ((0, False), (1, False), (2, True)):
        objective.begin_update(step)
        loss, metrics = objective(batch())
        loss.backward()
        assert metrics["loss_per_symbol"] == pytest.approx(loss.item() * 2 / 4)
        assert (model.encoder.layers[0].expand.weight.grad is not None) == learns
        assert model.output.weight.grad is not None


def test_validation_measures_what_is_heard() -> None:
    model = HubertCtc(HubertCtcConfig(("a", "b"), EncoderConfig(**ENCODER))).eval()
    model.output.weight.data.zero_()
    objective = CtcObjective(model, 0)
    for symbol, expected in ((0, 1.0), (4, 3 / 4), (5, 2 / 4)):  # of "abb" and "b": nothing, "a" and "b" each
        model.output.bias.data.zero_()
        model.output.bias.data[symbol] = 5.0
        found = objective.judge(batch(), 0)
        assert found["symbol_error_rate"] == pytest.approx(expected)
        assert found["loss"] > 0


TONES = {"a": 300.0, "b": 900.0, "c": 2500.0}


def say(text: str, voice: float, seed: int) -> np.ndarray:
    time = np.arange(int(0.16 * 16_000)) / 16_000
    parts = [0.3 * np.sin(2 * np.pi * TONES[letter] * voice * time) for letter in text]
    return (np.concatenate(parts) + np.random.default_rng(seed).normal(0, 0.003, len(text) * len(time))).astype("f")


@pytest.fixture
def spoken(tmp_path):
    """A run's folder: tones by two voices, their units (one for each tone and voice), and an encoder."""
    manifest, units = [], []
    for seed, text in enumerate(["abc", "cab", "acb", "bca", "cba", "bac"]):
        for voice, speaker in ((1.0, "low"), (1.3, "high")):
            waveform = say(text, voice, seed)
            shared = {
                "utterance_id": f"{text}-{speaker}",
                "sentence_id": text,
                "lang": "en",
                "split": "validation" if text == "bac" else "train",
                "speaker": speaker,
                "text": text,
                "num_samples": len(waveform),
            }
            manifest.append({**shared, "audio": {"bytes": audio.encode(waveform), "path": ""}})
            frames = np.repeat(["abc".index(letter) + 3 * (speaker == "high") for letter in text], 8)
            origin = {"encoder": "", "layer": 0, "codebook": "toy-0-1"}
            units.append({**shared, "units": frames, "durations": reduce(frames)[1], **origin})
    datasets.write_table(pa.Table.from_pylist(manifest, MANIFEST), f"{tmp_path}/manifest")
    datasets.write_table(pa.Table.from_pylist(units, UNITS), f"{tmp_path}/units")
    torch.manual_seed(0)
    plain = {**ENCODER, "pre_ln": True, "dropout": 0.0, "attention_dropout": 0.0, "layer_drop": 0.0}
    checkpoint.save(f"{tmp_path}/hubert", Hubert(HubertConfig(**plain)))
    codebook = {"model": "codebook", "config": {"num_units": 6}, "info": {"fingerprint": "toy-0-1"}}
    (tmp_path / "codebook").mkdir()
    (tmp_path / "codebook" / "config.json").write_text(json.dumps(codebook))
    return tmp_path


def fine_tune(folder, monkeypatch, settings, **inputs) -> SpeechToSymbols:
    monkeypatch.setattr(run, "fingerprint", lambda step: "x")
    inputs = {"manifest": "manifest", "encoder": "hubert"} | inputs
    step = Step("ctc", "trainers.ctc", str(folder), settings, {key: [value] for key, value in inputs.items()})
    masks = {"mask_probability": 0.0, "channel_mask_probability": 0.0}
    training = {"max_steps": 100, "learning_rate": 3e-3, "warmup_steps": 5, "num_workers": 0, "log_every": 40}
    shared = {"model": masks, "activation_dropout": 0.0, "layer_drop": 0.0, "feature_grad_mult": 1.0, "loop": training}
    config = build(TrainCtcConfig, {"freeze_updates": 5, "batch_seconds": 6.0} | shared | settings, "ctc")
    ctc.check(config, step)
    counts = ctc.run(config, step)
    assert (counts.rows_in, counts.rows_out) == (12, 12)
    return SpeechToSymbols.load(f"{folder}/ctc")


def test_letters_are_learned(local_ray, spoken, monkeypatch) -> None:
    heard = fine_tune(spoken, monkeypatch, {})
    assert heard.info == {"labels": "letters", "languages": ["en"]}
    assert heard.transcribe([say("cab", 1.0, 90), say("abc", 1.3, 91)]) == ["cab", "abc"]


def test_the_normaliser_gives_both_voices_the_units_of_one(local_ray, spoken, monkeypatch) -> None:
    heard = fine_tune(spoken, monkeypatch, {"reference_speakers": {"en": "low"}}, labels="units", codebook="codebook")
    assert heard.info["codebook"] == "toy-0-1"
    assert heard.model.config.symbols == tuple("012345")
    low, high = heard.units([say("cab", 1.0, 90), say("cab", 1.3, 91)])
    assert reduce(low)[0].tolist() == reduce(high)[0].tolist() == [2, 0, 1]


def test_mistakes_are_told(spoken, monkeypatch) -> None:
    with pytest.raises(UserError, match="it has only labels and codebook"):
        fine_tune(spoken, monkeypatch, {}, labels="units", codebook="codebook")
    with pytest.raises(UserError, match="no speech in 'ko' .found: en"):
        fine_tune(spoken, monkeypatch, {"languages": ["ko"]})
    with pytest.raises(UserError, match="model.symbols and model.encoder come from"):
        build(TrainCtcConfig, {"model": {"encoder": {"width": 384}}}, "ctc")
    units = {"labels": "units", "codebook": "codebook"}
    known = r"no units; who said most there: (low, high|high, low)$"
    with pytest.raises(UserError, match=rf"reference_speakers names 'lo' for 'en', of whom .*/units has {known}"):
        fine_tune(spoken, monkeypatch, {"reference_speakers": {"en": "lo"}}, **units)
    with pytest.raises(UserError, match="all 10 recordings of the training split .* reason: it is longer than a batch"):
        fine_tune(spoken, monkeypatch, {"batch_seconds": 0.1})
    checkpoint.save(f"{spoken}/tuned", HubertCtc(HubertCtcConfig(("a",), EncoderConfig(**ENCODER))))
    with pytest.raises(UserError, match="holds a hubert_ctc, but a hubert or speech_encoder"):
        fine_tune(spoken, monkeypatch, {}, encoder="tuned")
