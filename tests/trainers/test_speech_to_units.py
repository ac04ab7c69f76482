"""Training S2UT: ten sentences are learned by heart; inputs that do not fit are told."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import audio, checkpoint
from s2st.config import UserError, build
from s2st.fairseq.auxiliary_heads import write_tasks
from s2st.features.filterbank import source_features
from s2st.models.auxiliary_tasks import TaskConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.pretrained_source import PretrainedSourceConfig
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.schemas import SPEECH_PAIRS
from s2st.speech_decoding import translate_speech
from s2st.units import EOS, UNK
from stages import datasets
from stages.stage import Step
from trainers import run, speech_to_units
from trainers.s2ut_objective import GREEDY, SpeechToUnitsObjective
from trainers.speech_pairs import filterbanks
from trainers.speech_to_units import SpeechToUnitsConfig, fitted, targets_of, with_tasks

SENTENCES = ["abcd", "dcba", "acbd", "bdac", "cab", "bcd", "adb", "dbca", "cda", "badc"]
NUM_UNITS = 9
NO_DROPOUT = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
SMALL = {"num_layers": 2, "model_dim": 32, "num_heads": 2, "ffn_dim": 64, **NO_DROPOUT}
MODEL = {"source": {**SMALL, "conv_dim": 64}, "decoder": SMALL, "label_smoothing": 0.05}
HEAD = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 32, **NO_DROPOUT}
TASKS = {
    "source_letter": {"target": "source_letters", "encoder_layer": 1, "decoder": HEAD},
    "target_ctc": {"target": "target_letters", "decoder_type": "ctc", "decoder_layer": 2, "loss_weight": 0.5},
}


def say(text: str, seed: int) -> np.ndarray:
    """A tone for each letter (N,)."""
    time = np.arange(int(0.12 * 16_000)) / 16_000
    parts = [0.3 * np.sin(2 * np.pi * 300 * 1.9 ** "abcd".index(letter) * time) for letter in text]
    return (np.concatenate(parts) + np.random.default_rng(seed).normal(0, 0.003, len(text) * len(time))).astype("f")


def translation(text: str, lang: str) -> list[int]:
    """Two units a letter, from the last to the first, or one, with another at the end."""
    if lang == "ko":
        return [*("abcd".index(letter) for letter in text), 8]
    return [unit for letter in reversed(text) for unit in (2 * "abcd".index(letter), 2 * "abcd".index(letter) + 1)]


def pair(number: int, text: str, lang: str, split: str) -> dict:
    waveform = say(text, number)
    sides = {f"{side}_{name}": f"{text}-{lang}" for side in ("source", "target") for name in ("utterance_id",)}
    return {
        **{"pair_id": f"{text}-{lang}-{split}", "sentence_id": text, "source_lang": "en", "target_lang": lang},
        **{"split": split, "source_audio": audio.encode(waveform), "target_audio": b"", **sides},
        **{"source_samples": len(waveform), "target_samples": 1, "codebook": "toy-0-1"},
        **{"source_text": text, "target_text": text[:2], "target_units": translation(text, lang)},
    }


def write(folder, rows: list[dict]) -> None:
    datasets.write_table(pa.Table.from_pylist(rows, SPEECH_PAIRS), f"{folder}/speech_pairs")
    codebook = {"model": "codebook", "config": {"num_units": NUM_UNITS}, "info": {"fingerprint": "toy-0-1"}}
    (folder / "codebook").mkdir(exist_ok=True)
    (folder / "codebook" / "config.json").write_text(json.dumps(codebook))


def train(folder, monkeypatch, **settings):
    monkeypatch.setattr(run, "fingerprint", lambda step: "x")
    given = ("speech_pairs", "codebook", "encoder") if (folder / "encoder").exists() else ("speech_pairs", "codebook")
    inputs = {name: [name] for name in given}
    step = Step("s2ut", "trainers.speech_to_units", str(folder), {}, inputs)
    loop = {"max_steps": 24, "learning_rate": 4e-3, "warmup_steps": 2, "num_workers": 0, "checkpoint_every": 12}
    loop["log_every"] = 6
    config = build(
        SpeechToUnitsConfig,
        {"model": MODEL, "spec_augment": "none", "max_tokens": 200, "loop": loop} | settings,
        "s2ut",
    )
    speech_to_units.check(config, step)
    counts = speech_to_units.run(config, step)
    model, info = checkpoint.load(f"{folder}/s2ut", "s2ut")
    return counts, model, info


def learn(rows: list[dict], settings: dict, steps: int = 200) -> S2ut:
    """Train on all pairs at once, without Ray."""
    torch.manual_seed(0)
    config = build(S2utConfig, {**MODEL, **settings}, "test")
    model = S2ut(fitted(config, pa.Table.from_pylist(rows, SPEECH_PAIRS), NUM_UNITS, "test"))
    objective = SpeechToUnitsObjective(model, ["hi"], 0)
    batch = {**filterbanks(rows, False, None, np.random.default_rng(0)), **targets_of(model.config, rows)}
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(steps):
        objective.begin_update(step)
        loss, _ = objective(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    found = objective.judge(batch, 0)
    assert (found["unit_error_rate"], found["diversity"]) == (0, 1)
    return model.eval()


@pytest.mark.parametrize(
    ("settings", "languages"),
    [({"tasks": TASKS}, ("hi", "ko")), ({"units_per_step": 2}, ("hi",))],
    ids=["tasks and languages", "stacked"],
)
def test_ten_sentences_are_learned_by_heart(settings, languages) -> None:
    model = learn([pair(i, text, lang, "train") for lang in languages for i, text in enumerate(SENTENCES)], settings)
    for lang in languages:
        for i, text in enumerate(SENTENCES):
            features = source_features(say(text, i))[None]
            best, *_ = translate_speech(model, features, torch.tensor([features.size(1)]), [lang], GREEDY)[0]
            assert best.units.tolist() == translation(text, lang)
            assert best.finished


def test_a_training_on_ray(local_ray, tmp_path, monkeypatch) -> None:
    rows = [pair(i, text, "hi", "train") for i, text in enumerate(SENTENCES)]
    write(tmp_path, [*rows, *(pair(i, text, "hi", "validation") for i, text in enumerate(SENTENCES[:3]))])
    counts, model, info = train(tmp_path, monkeypatch, model={**MODEL, "tasks": TASKS}, spec_augment="ss")
    assert counts.rows_out == 13
    assert info == {"units": "toy-0-1", "directions": ["en-hi"]}
    assert model.config.tasks["source_letter"].symbols == ("a", "b", "c", "d", "|")
    lines = [json.loads(line) for line in (tmp_path / "s2ut" / "metrics.jsonl").read_text().splitlines()]
    first, last = (line["validation_loss"] for line in lines if "validation_loss" in line)
    assert last < first
    assert {"nll", "accuracy", "task_source_letter", "task_target_ctc", "gradient_norm"} <= set(lines[0])


def test_a_killed_training_goes_on_as_if_nothing_had_been(local_ray, tmp_path, monkeypatch, interrupt) -> None:
    rows = [pair(i, text, "hi", "train") for i, text in enumerate(SENTENCES)]
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, rows)
    noisy = {part: {**MODEL[part], "dropout": 0.1} for part in ("source", "decoder")}
    settings = {"model": {**MODEL, **noisy, "tasks": TASKS}, "spec_augment": "ss"}
    _, whole, _ = train(tmp_path / "whole", monkeypatch, **settings)
    calls = interrupt(SpeechToUnitsObjective, 18)
    with pytest.raises(InterruptedError):
        train(tmp_path / "killed", monkeypatch, **settings)
    _, resumed, _ = train(tmp_path / "killed", monkeypatch, **settings)
    assert len(calls) == 18 + 12  # from the state of step 12 to step 24
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_a_pretrained_encoder_that_stays_as_it_is(local_ray, tmp_path, monkeypatch) -> None:
    sizes = {"width": 32, "num_layers": 1, "num_heads": 2, "ffn_dim": 32, "positional_kernel": 8}
    convolutions = ((16, 10, 5), (16, 8, 8), (16, 8, 8))
    encoder = EncoderConfig(convolutions, **sizes, positional_groups=4)
    checkpoint.save(f"{tmp_path}/encoder", HubertCtc(HubertCtcConfig(("a",), encoder)))
    write(tmp_path, [pair(i, text, "hi", "train") for i, text in enumerate(SENTENCES)])
    loop = {"max_steps": 3, "warmup_steps": 1, "num_workers": 0, "learning_rate": 1e-2}
    settings = {"model": {**MODEL, "pretrained": {"adaptor_layers": 1}}, "freeze_updates": 3, "loop": loop}
    _, model, _ = train(tmp_path, monkeypatch, **settings)
    assert model.config.pretrained == PretrainedSourceConfig(encoder, adaptor_layers=1)
    given = checkpoint.load(f"{tmp_path}/encoder")[0].encoder.state_dict()
    for name, value in model.source.encoder.state_dict().items():
        torch.testing.assert_close(value, given[name], atol=0, rtol=0)


def test_labels_of_tasks() -> None:
    tasks = build(SpeechToUnitsConfig, {"model": {**MODEL, "num_units": NUM_UNITS, "tasks": TASKS}}, "x").model.tasks
    pairs = pa.Table.from_pylist([pair(0, "ab", "hi", "train")], SPEECH_PAIRS)
    found = speech_to_units.with_symbols(tasks, pairs, NUM_UNITS, "x")
    row = pair(0, "abc", "hi", "train")
    assert speech_to_units.labels_of(found["source_letter"], row).tolist() == [4, 5, UNK, 6, EOS]
    assert speech_to_units.labels_of(found["target_ctc"], row).tolist() == [4, 5, 6]
    silent = pairs.set_column(pairs.schema.get_field_index("source_text"), "source_text", pa.nulls(1, pa.string()))
    with pytest.raises(UserError, match="x: the pairs have no text for the task source_letter"):
        speech_to_units.with_symbols(tasks, silent, NUM_UNITS, "x")


def test_tasks_of_a_config_multitask(tmp_path) -> None:
    given = {"source_letter": TaskConfig("source_letters", ("|", "c", "a", "b"), encoder_layer=1, loss_weight=8.0)}
    write_tasks(tmp_path, given)
    file = {"config_multitask": f"{tmp_path}/config_multitask.yaml"}
    tasks = with_tasks(build(SpeechToUnitsConfig, {"model": MODEL, **file}, "x")).tasks
    row = pair(0, "abc", "hi", "train")
    pairs = pa.Table.from_pylist([row], SPEECH_PAIRS)
    assert tasks == given == speech_to_units.with_symbols(tasks, pairs, NUM_UNITS, "x")
    assert speech_to_units.labels_of(tasks["source_letter"], row).tolist() == [6, 7, 5, 4, EOS]
    other = pa.Table.from_pylist([pair(0, "ad", "hi", "train")], SPEECH_PAIRS)
    with pytest.raises(UserError, match="dictionary of the task source_letter has no 'd', which the pairs'"):
        speech_to_units.with_symbols(tasks, other, NUM_UNITS, "x")
    with pytest.raises(UserError, match="config_multitask and model.tasks both name tasks"):
        build(SpeechToUnitsConfig, {"model": {**MODEL, "tasks": TASKS}, **file}, "x")
    write_tasks(tmp_path, {"deep": TaskConfig(symbols=("a",), encoder_layer=3)})
    with pytest.raises(UserError, match=r"config_multitask.yaml: task deep hears encoder_layer 3 of 2"):
        with_tasks(build(SpeechToUnitsConfig, {"model": MODEL, **file}, "x"))


def test_mistakes_are_told(local_ray, tmp_path, monkeypatch) -> None:
    rows = [pair(i, text, "hi", "train") for i, text in enumerate(SENTENCES[:2])]
    write(tmp_path, [{**row, "codebook": "other"} for row in rows])
    with pytest.raises(UserError, match="section 's2ut': the pairs are not of units of .*codebook"):
        train(tmp_path, monkeypatch)
    short = {**MODEL, "source": {**SMALL, "max_frames": 5}}
    write(tmp_path, rows)
    with pytest.raises(UserError, match="no pair to train on; the usual reason: pair .* are not 1 to"):
        train(tmp_path, monkeypatch, model=short)
    with pytest.raises(UserError, match="are settings of a pretrained encoder; name one"):
        train(tmp_path, monkeypatch, freeze_updates=5)
    (tmp_path / "encoder").mkdir()
    with pytest.raises(UserError, match="spec_augment hides filterbanks, but its encoder hears waveforms"):
        train(tmp_path, monkeypatch, spec_augment="lb")
    (tmp_path / "encoder").rmdir()
    with pytest.raises(UserError, match="model.languages and the symbols of tasks come from the pairs"):
        train(tmp_path, monkeypatch, model={**MODEL, "languages": ["hi"]})


def test_a_collapse_is_told() -> None:
    model = S2ut(build(SpeechToUnitsConfig, {"model": {**MODEL, "num_units": 9}}, "x").model)
    objective = SpeechToUnitsObjective(model, ["hi"], 0)
    model.decoder.embed_tokens.weight.data.zero_()
    batch = {
        "features": torch.randn(3, 40, 80),
        "lengths": torch.full((3,), 40),
        "beginnings": torch.full((3,), EOS),
        "labels": torch.tensor([[4, 5, EOS], [6, 7, EOS], [8, 9, EOS]]),
    }
    found = objective.judge(batch, 0)
    assert found["diversity"] == 0  # whatever is heard
    assert "says nearly the same" in str(objective.validation_concern(found))
    assert "diversity" not in objective.judge(batch, 1)
