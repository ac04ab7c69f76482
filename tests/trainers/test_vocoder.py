"""Adversarial training on Ray: kills, two workers, validation, and mistakes that are told."""

import dataclasses
import json
import os
import signal

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch

from s2st import audio, checkpoint
from s2st.config import UserError, build
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.schemas import MANIFEST, UNITS
from s2st.units import reduce
from s2st.voice import Voice
from stages import datasets
from stages.stage import Step
from trainers import run, vocoder
from trainers.recognizer import TrainRecognizerConfig
from trainers.vocoder import VocoderConfig
from trainers.vocoder_objective import VocoderObjective

NUM_UNITS = 5
HIFIGAN = {"initial_channels": 32, "resblock_kernel_sizes": [3], "resblock_dilations": [[1]], "embedding_dim": 8}
MODEL = {"hifigan": HIFIGAN, "discriminators": {"width": 0.125, "periods": [2], "num_scales": 1}}
SMALL = {"segment_frames": 8, "batch_size": 4}
LOOP = {
    "max_steps": 12,
    "learning_rate": 1e-3,
    "betas": [0.8, 0.99],
    "num_workers": 0,
    "checkpoint_every": 6,
    "log_every": 3,
    "clip_norm": 0,
}


def utterance(name: str, speaker: str, split: str, random: np.random.Generator) -> tuple[dict, dict]:
    """A recording of a tone for each unit, and its units, as rows of MANIFEST and UNITS."""
    units = np.repeat(random.integers(NUM_UNITS, size=6), random.integers(2, 6, size=6))
    hertz = np.repeat(200 * (1 + units), audio.HOP)
    waveform = np.sin(2 * np.pi * np.cumsum(hertz) / audio.SAMPLE_RATE) * (0.2 if speaker == "a" else 0.5)
    row = {"utterance_id": name, "sentence_id": name, "lang": "en", "split": split, "speaker": speaker}
    row["num_samples"] = len(waveform)
    spoken = row | {"audio": {"bytes": audio.encode(waveform.astype("f"))}, "text": ""}
    return spoken, row | {"units": units, "durations": reduce(units)[1], "codebook": "units"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A run's folder with speech by two voices, and by a third one in the validation split."""
    folder, random = tmp_path_factory.mktemp("corpus"), np.random.default_rng(0)
    kinds = [("a", "train"), ("b", "train")] * 6 + [("a", "validation"), ("new", "validation")]
    pairs = [utterance(f"u{number}", *kind, random) for number, kind in enumerate(kinds)]
    datasets.write_table(pa.Table.from_pylist([spoken for spoken, _ in pairs], MANIFEST), f"{folder}/manifest")
    datasets.write_table(pa.Table.from_pylist([units for _, units in pairs], UNITS), f"{folder}/units")
    checkpoint.save(f"{folder}/codebook", Codebook(CodebookConfig(NUM_UNITS, 2)), {"fingerprint": "units"})
    return folder


@pytest.fixture
def train(local_ray, corpus, monkeypatch):
    """A function that trains a vocoder in a folder of its own, and gives that folder and its history."""
    monkeypatch.setattr(run, "fingerprint", lambda step: "x")

    def train(name: str, model=MODEL, loop=None, **settings) -> tuple[str, list[dict]]:
        inputs = {each: [each] for each in ("manifest", "units", "codebook")}
        step = Step(name, "trainers.vocoder", str(corpus), {}, inputs)
        config = build(VocoderConfig, model | SMALL | settings | {"loop": LOOP | (loop or {})}, name)
        counts = vocoder.run(config, step)
        assert (counts.rows_in, counts.rows_out) == (12, 12)
        with open(f"{step.output}/metrics.jsonl") as lines:
            return step.output, [json.loads(line) for line in lines]

    return train


def weights(folder: str) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(f"{folder}/{checkpoint.WEIGHTS}")


def training_lines(history: list[dict]) -> list[dict]:
    return [{**line, "milliseconds_per_step": 0} for line in history if "critic" in line]


def test_an_adversarial_training_its_validation_and_its_voice(train, corpus, read_events):
    folder, history = train("trained", loop={"max_steps": 24, "learning_rate": 4e-3})
    lines = training_lines(history)
    assert {"mel", "feature", "adversarial", "duration", "critic", "gradient_norm", "critic_gradient_norm"} < set(
        lines[0]
    )
    assert lines[-1]["mel"] < lines[0]["mel"]
    assert lines[-1]["critic"] < lines[0]["critic"]
    judged = [line for line in history if "validation_mel" in line]
    assert [line["step"] for line in judged] == [6, 12, 18, 24]
    assert judged[-1]["validation_mel"] < judged[0]["validation_mel"]
    names = {"loss", "mcd", "mcd_true_durations", "duration", "duration_error", "level"}
    assert {f"validation_{name}" for name in names} < set(judged[0])

    shown = [value for event in read_events(corpus / "_tensorboard" / "trained") for value in event.summary.value]
    for kind, times in (("true", 1), ("made", 4)):
        tags = [value.WhichOneof("value") for value in shown if value.tag.startswith(f"utterance_1/{kind}")]
        assert sorted(tags) == ["audio"] * times + ["image"] * times

    info = checkpoint.vocoder_info(folder)
    assert info["speakers"] == ["a", "b"]
    ((waveform, durations),) = Voice.load(folder).speak([np.array([1, 2, 3])], "en")
    assert len(waveform) == durations.sum() * audio.HOP


def test_a_killed_training_goes_on_as_if_nothing_had_been(train, interrupt):
    """Both optimizers, the spectral norms' vectors and what is drawn at random are those of an undisturbed training."""
    whole, history = train("whole")
    calls = interrupt(VocoderObjective, 11)  # two validations do not call it
    with pytest.raises(InterruptedError):
        train("killed")
    killed, again = train("killed")
    assert len(calls) == 11 + 6  # from the state of step 6 to step 12
    torch.testing.assert_close(weights(killed), weights(whole), rtol=0, atol=0)
    assert training_lines(again) == training_lines(history)


def train_and_be_killed(settings):
    """Train; the last worker is killed once, with SIGKILL, in its 5th update."""
    import ray.train
    from torch.nn.modules.module import register_module_forward_pre_hook

    context, calls = ray.train.get_context(), []

    def kill(module, _):
        calls.extend([0] * isinstance(module, VocoderObjective))
        if len(calls) == 5 and not os.path.exists(settings["marker"]):
            open(settings["marker"], "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    last = context.get_world_rank() == context.get_world_size() - 1
    handle = register_module_forward_pre_hook(kill) if last and context.get_world_size() > 1 else None
    try:
        vocoder.train_worker(settings)
    finally:
        if handle:
            handle.remove()


@pytest.mark.slow  # test_loop.py has the same of any training
def test_two_workers_survive_a_kill_and_do_what_one_does_with_two_batches(train, tmp_path, monkeypatch):
    fit, marker = vocoder.fit, tmp_path / "killed"
    monkeypatch.setattr(
        vocoder,
        "fit",
        lambda step, loop, _, settings, *examples: fit(
            step, loop, train_and_be_killed, settings | {"marker": str(marker)}, *examples
        ),
    )
    loop = {"max_steps": 6, "checkpoint_every": 3, "log_every": 1, "adam_eps": 1e-3, "validation_batches": 0}
    two, of_two = train("two", loop=loop | {"num_workers": 2, "cpus_per_worker": 0.5})
    one, of_one = train("one", loop=loop | {"accumulate": 2})
    assert marker.exists()
    torch.testing.assert_close(weights(two), weights(one), rtol=1e-4, atol=1e-6)
    for found, expected in zip(of_two, of_one, strict=True):
        for name in ("gradient_norm", "critic_gradient_norm"):  # of all batches; losses are of a worker's last one
            assert found[name] == pytest.approx(expected[name], rel=1e-4)


def test_the_vocoder_with_least_distortion_is_kept(train, monkeypatch):
    validation, found, biases = VocoderObjective.validation, iter([3.0, 1.0, 2.0]), []

    def judged(self, *batch):
        biases.append(self.vocoder.conv_post.bias.clone())
        return validation(self, *batch) | {"mcd": next(found)}

    monkeypatch.setattr(VocoderObjective, "validation", judged)
    settings = {"checkpoint_every": 3, "best_metric": "mcd", "keep_best": True, "patience": 1, "validation_batches": 1}
    folder, history = train("kept", loop=settings)
    assert history[-1]["step"] == 9
    assert torch.equal(weights(folder)["conv_post.bias"], biases[1])
    assert not torch.equal(biases[1], biases[2])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocos": {}, "hifigan": {}}, "give either hifigan or vocos"),
        ({"vocos": {}, "segment_frames": 7}, "segment_frames=7 is too short .* use 8 or more"),
        ({"vocos": {}, "loop": {"fp16": True}}, "no fp16 and compile"),
    ],
)
def test_contradictions_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        build(VocoderConfig, settings, "x")


def test_mistakes_are_told(corpus):
    inputs = {name: [name] for name in ("manifest", "units", "codebook")}
    step = Step("voice", "trainers.vocoder", str(corpus), {}, inputs)
    config = build(VocoderConfig, {"vocos": {}, "languages": ["hi"], "loop": {"best_metric": "bleu"}}, "voice")
    with pytest.raises(UserError, match="'bleu' is not one of loss, mel, mcd"):
        vocoder.check(config, step)
    with pytest.raises(UserError, match=r"no language 'hi' \(found: en\)"):
        vocoder.speech(config, step, "units")
    with pytest.raises(UserError, match="not of the codebook"):
        vocoder.speech(config, step, "other")
    other, _ = utterance("other", "a", "train", np.random.default_rng(0))
    datasets.write_table(pa.Table.from_pylist([other], MANIFEST), f"{corpus}/other")
    with pytest.raises(UserError, match="no training utterance in common"):
        vocoder.speech(config, dataclasses.replace(step, inputs=inputs | {"manifest": ["other"]}), "units")


@pytest.mark.parametrize("loop", [{"best_metric": "mcd"}, {"keep_best": True}, {"patience": 1}])
def test_trainers_without_validation_refuse_its_settings(loop):
    with pytest.raises(UserError, match="this trainer does not validate; leave best_metric"):
        build(TrainRecognizerConfig, {"lang": "en", "loop": loop}, "x")
