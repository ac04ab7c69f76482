"""Fine-tuning by CTC: what is to be heard, freezing, and a training of letters and one of units."""

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
from trainers.ctc_targets import Targets, fitting, letters, reference_units

ENCODER = {
    "conv_layers": ((16, 10, 5), (16, 8, 8), (16, 8, 8)),
    "width": 32,
    "num_layers": 1,
    "num_heads": 2,
    "ffn_dim": 32,
    "positional_kernel": 8,
    "positional_groups": 4,
}


def row(utterance_id, text="", lang="en", split="train", speaker="a", sentence_id="s", num_samples=16_000):
    return {
        "utterance_id": utterance_id,
        "sentence_id": sentence_id,
        "lang": lang,
        "split": split,
        "speaker": speaker,
        "text": text,
        "num_samples": num_samples,
    }


def test_letters_of_any_script() -> None:
    rows = [row("1", "Ab a!"), row("2", "मेरी"), row("3", "한국"), row("4", "?!"), row("5", "cab", split="validation")]
    targets = letters(rows)
    assert {" ", "a", "b", "म", "ी", "ᄒ"} <= set(targets.symbols)
    assert "c" not in targets.symbols  # no training text has it
    spelled = {
        found["utterance_id"]: "".join(targets.symbols[label - 4] if label > 3 else "?" for label in found["units"])
        for found in targets.rows
    }
    assert spelled == {"1": "ab a", "2": "मेरी", "3": "\u1112\u1161\u11ab\u1100\u116e\u11a8", "5": "?ab"}
    assert [(reject["utterance_id"], reject["reason"]) for reject in targets.rejects] == [
        ("4", "its text has no letters")
    ]


def test_units_are_those_of_the_reference_speaker() -> None:
    spoken = [
        {**row("a2", speaker="a"), "units": [9]},
        {**row("a1", speaker="a"), "units": [5, 5, 6, 5]},
        {**row("b1", speaker="b"), "units": [1, 2]},
        {**row("h1", speaker="a", lang="hi"), "units": [7]},
    ]
    rows = [row("a1"), row("b1", speaker="b"), row("c1", sentence_id="t"), row("h1", lang="hi")]
    targets = reference_units(rows, spoken, {"en": "a"}, 10)
    assert targets.symbols == tuple("0123456789")
    assert {found["utterance_id"]: found["units"] for found in targets.rows} == {"a1": [9, 10, 9], "b1": [9, 10, 9]}
    assert [reject["utterance_id"] for reject in targets.rejects] == ["c1", "h1"]


def test_what_ctc_cannot_say_is_left_out() -> None:
    rows = [
        {"utterance_id": str(frames), "num_samples": 400 + 320 * (frames - 1), "units": [4, 5, 5, 6]}
        for frames in (4, 5, 50, 51)
    ]
    kept = fitting(Targets((), rows, []), 400, 320, max_samples=400 + 320 * 49)
    assert [found["utterance_id"] for found in kept.rows] == ["5", "50"]  # 4 labels, and a blank between two
    assert [reject["reason"].split(" than")[0] for reject in kept.rejects] == [
        "it is too short for what is to be heard in it",
        "it is longer",
    ]


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
        found = objective.judge(batch())
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
            shared = row(f"{text}-{speaker}", text, speaker=speaker, sentence_id=text, num_samples=len(waveform))
            shared["split"] = "validation" if text == "bac" else "train"
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
    checkpoint.save(f"{spoken}/tuned", HubertCtc(HubertCtcConfig(("a",), EncoderConfig(**ENCODER))))
    with pytest.raises(UserError, match="holds a hubert_ctc, but a hubert or speech_encoder"):
        fine_tune(spoken, monkeypatch, {}, encoder="tuned")
