"""Training on Ray of models that speak spectrograms, what their validation measures, and mistakes that are told."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import audio, checkpoint
from s2st.config import UserError, build
from s2st.features.speech_mel import speech_log_mel, to_mel_rate
from s2st.models.mel_lstm import MelLstm, MelLstmConfig
from s2st.schemas import SPEECH_PAIRS
from stages import datasets
from stages.stage import Step
from trainers import run, speech_to_spectrogram
from trainers.generation import collapse
from trainers.speech_to_spectrogram import SpectrogramObjective, SpeechToSpectrogramConfig, spoken_metrics, targets_of

SENTENCES = ["abc", "cab", "bca", "ba", "acb"]
QUIET = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
SIZES = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 32, **QUIET}
MODELS = {
    "s2spect": {
        "source": {**SIZES, "conv_dim": 16, "deltas": True},
        "decoder": {**SIZES, "prenet_dim": 16},
        "postnet": {"num_layers": 2, "dim": 16},
    },
    "lstm": {"band_dim": 4, "encoder_dim": 16, "encoder_layers": 2, "reductions": 1, "decoder_dim": 32},
}
LOOP = {
    "max_steps": 20,
    "learning_rate": 4e-3,
    "warmup_steps": 2,
    "num_workers": 0,
    "checkpoint_every": 10,
    "log_every": 5,
}


def say(text: str, lowest_hz: float) -> np.ndarray:
    """A tone for each letter (N,)."""
    time = np.arange(int(0.1 * 16_000)) / 16_000
    parts = [0.3 * np.sin(2 * np.pi * lowest_hz * 1.7 ** "abc".index(letter) * time) for letter in text]
    return np.concatenate(parts).astype("f")


def pair(text: str, split: str, lang: str = "hi") -> dict:
    sides = {"source": say(text, 300), "target": say(text[::-1], 400)}
    row = {"pair_id": f"{text}-{lang}-{split}", "sentence_id": text, "source_lang": "en", "target_lang": lang}
    row |= {"split": split, "codebook": "", "target_units": []}
    for side, waveform in sides.items():
        row |= {f"{side}_audio": audio.encode(waveform), f"{side}_samples": len(waveform)}
        row |= {f"{side}_text": text, f"{side}_utterance_id": f"{text}-{side}"}
    return row


def train(folder, rows: list[dict], monkeypatch, **settings) -> tuple:
    monkeypatch.setattr(run, "fingerprint", lambda step: "x")
    datasets.write_table(pa.Table.from_pylist(rows, SPEECH_PAIRS), f"{folder}/speech_pairs")
    step = Step("direct", "trainers.speech_to_spectrogram", str(folder), {}, {"speech_pairs": ["speech_pairs"]})
    config = build(SpeechToSpectrogramConfig, {"spec_augment": "none", "loop": LOOP} | settings, "direct")
    return speech_to_spectrogram.run(config, step), f"{folder}/direct"


@pytest.mark.parametrize("kind", MODELS)
def test_a_training_on_ray_and_its_translations(local_ray, tmp_path, monkeypatch, kind) -> None:
    rows = [pair(text, split) for split in ("train", "validation") for text in SENTENCES]
    rows.append(pair("cba", "train") | {"target_samples": 700})
    counts, folder = train(tmp_path, rows, monkeypatch, **{kind: MODELS[kind]})
    assert (counts.rows_out, counts.rejects) == (10, 1)
    assert "its target_samples are not" in datasets.usual_reason(folder)
    with open(f"{folder}/metrics.jsonl") as lines:
        found = [json.loads(line) for line in lines]
    first, last = (line["validation_loss"] for line in found if "validation_loss" in line)
    assert last < first
    assert all(line["validation_mcd"] > 0 for line in found if "validation_loss" in line)
    assert {"l1", "mse", "stop"} <= set(found[0])

    assert checkpoint.load(folder, *checkpoint.SPECTROGRAM_MODELS)[1] == {"directions": ["en-hi"]}


def test_a_killed_training_goes_on_as_if_nothing_had_been(local_ray, tmp_path, monkeypatch, interrupt) -> None:
    """Statistics of batch norms, and what the dropout of the prenet draws, are those of an undisturbed training."""
    rows = [pair(text, "train") for text in SENTENCES]
    _, whole = train(tmp_path / "whole", rows, monkeypatch, s2spect=MODELS["s2spect"])
    calls = interrupt(SpectrogramObjective, 15)
    with pytest.raises(InterruptedError):
        train(tmp_path / "killed", rows, monkeypatch, s2spect=MODELS["s2spect"])
    _, killed = train(tmp_path / "killed", rows, monkeypatch, s2spect=MODELS["s2spect"])
    assert len(calls) == 15 + 10  # from the state of step 10 to step 20
    expected, found = (checkpoint.load(folder)[0].state_dict() for folder in (whole, killed))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_what_translations_are_worth() -> None:
    true = [speech_log_mel(to_mel_rate(say(text, 400))) for text in SENTENCES]
    perfect = spoken_metrics(true, true)
    assert perfect == {"mcd": pytest.approx(0, abs=1e-4), "diversity": pytest.approx(1)}
    assert collapse(perfect) is None
    same = spoken_metrics(true, true[:1] * len(true))
    assert same["mcd"] > 0
    assert same["diversity"] == pytest.approx(0, abs=1e-4)
    assert "whatever it hears" in collapse(same)
    assert "diversity" not in spoken_metrics(true[:1], true[1:2])


def test_only_the_first_batch_is_spoken() -> None:
    torch.manual_seed(0)
    objective = SpectrogramObjective(MelLstm(build(MelLstmConfig, MODELS["lstm"], "x")), 0.4)
    batch = {"features": torch.randn(2, 30, 80), "lengths": torch.tensor([30, 20])}
    batch |= targets_of([pair("ab", "train"), pair("ba", "train")], 5)
    assert {"mcd", "diversity", "ended"} <= set(objective.judge(batch, 0))
    later = objective.judge(batch, 1)
    assert "mcd" not in later
    assert {"loss", "attention"} <= set(later)


def test_mistakes_are_told(local_ray, tmp_path, monkeypatch) -> None:
    with pytest.raises(UserError, match="give either s2spect or lstm"):
        train(tmp_path, [pair("ab", "train")], monkeypatch, **MODELS)
    two = [pair("ab", "train"), pair("ab", "train", "ko")]
    with pytest.raises(UserError, match="'en' is translated to 2 languages"):
        train(tmp_path / "two", two, monkeypatch, lstm=MODELS["lstm"])
    with pytest.raises(UserError, match="no pair to train on; the usual reason: .* its target_samples are not 744 to"):
        train(tmp_path / "none", [pair("ab", "train") | {"target_samples": 700}], monkeypatch, lstm=MODELS["lstm"])
    for loop, message in (
        ({"best_metric": "bleu"}, "'bleu' is not one of loss, mcd"),
        ({"fp16": True}, "an lstm cannot train in fp16 on a CPU"),
    ):
        config = build(SpeechToSpectrogramConfig, {"lstm": {}, "loop": loop}, "x")
        with pytest.raises(UserError, match=message):
            speech_to_spectrogram.check(config, Step("direct", "trainers.speech_to_spectrogram", "", {}, {}))
