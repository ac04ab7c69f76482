"""Training the unit language model: a cycle is learned, kills change nothing, inputs that do not fit are told."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError, build
from s2st.continuation import continue_units
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.unit_lm import UnitLmConfig
from s2st.schemas import UNITS
from s2st.units import EOS, PAD, reduce
from stages import datasets
from stages.stage import Step
from trainers import unit_language_model
from trainers.unit_language_model import LanguageModelObjective, ToTokens, UnitLanguageModelConfig, check, collate

NUM_UNITS, NAME = 6, "mfcc-0-0-abc"
MODEL = {"num_layers": 2, "model_dim": 32, "num_heads": 2, "ffn_dim": 64, "dropout": 0.0, "attention_dropout": 0.0}
LOOP = {"max_steps": 120, "learning_rate": 5e-3, "warmup_steps": 5, "num_workers": 0, "checkpoint_every": 60}
LOOP["schedule"] = "constant"


def utterances(langs=("en",), splits=("train", "validation"), length=12):
    """Each a cycle of units, 0 1 2 3 4 5 0 ..., from another place in it; units last one frame or two."""
    rows = []
    for lang in langs:
        for split in splits:
            for start in range(NUM_UNITS):
                cycle = np.arange(start, start + length) % NUM_UNITS
                units = np.repeat(cycle, 1 + cycle % 2).astype(np.uint16)
                shared = {"sentence_id": str(start), "speaker": "a", "num_samples": 6400, "encoder": "", "layer": 0}
                shared |= {"utterance_id": f"{lang}-{split}-{start}", "lang": lang, "split": split, "codebook": NAME}
                rows.append({**shared, "units": units, "durations": reduce(units)[1]})
    return pa.Table.from_pylist(rows, UNITS)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A function that trains in a folder of a name, and gives the counts and the folder of the model."""
    monkeypatch.setattr("trainers.run.fingerprint", lambda step: "x")

    def train(name, table, **settings):
        folder = tmp_path / name
        datasets.write_table(table, str(folder / "units"))
        codebook = Codebook(CodebookConfig(num_units=NUM_UNITS, feature_dim=4))
        checkpoint.save(str(folder / "codebook"), codebook, {"fingerprint": NAME})
        inputs = {"units": ["units"], "codebook": ["codebook"]}
        step = Step("model", "trainers.unit_language_model", str(folder), {}, inputs)
        config = build(UnitLanguageModelConfig, {"lang": "en", "model": MODEL, "loop": LOOP, **settings}, "model")
        check(config, step)
        return unit_language_model.run(config, step), folder / "model"

    return train


def test_a_cycle_is_learned(local_ray, train):
    """Only where an utterance begins is not certain: one of 13 tokens has six chances."""
    counts, folder = train("run", utterances(["en", "hi"]))
    assert (counts.rows_in, counts.rows_out) == (12, 12)
    model, info = checkpoint.load(str(folder), "unit_lm")
    assert info == {"units": NAME, "lang": "en"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    validations = [line for line in lines if "validation_loss" in line]
    assert len(validations) == 2
    assert np.exp(validations[-1]["validation_loss"]) < 6 ** (1 / 13) * 1.05
    (found,) = continue_units(model, [np.array([4, 5, 0])], [0])
    assert found.units.tolist() == [4, 5, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
    assert found.finished


def test_a_killed_training_goes_on_as_if_nothing_had_been(local_ray, train, interrupt):
    noisy = {"model": {**MODEL, "dropout": 0.2, "attention_dropout": 0.1}}
    noisy["loop"] = {**LOOP, "max_steps": 12, "checkpoint_every": 6, "validation_batches": 0}
    _, whole = train("whole", utterances(), **noisy)
    calls = interrupt(LanguageModelObjective, 9)
    with pytest.raises(InterruptedError):
        train("killed", utterances(), **noisy)
    _, killed = train("killed", utterances(), **noisy)
    assert len(calls) == 9 + 6  # from the state of step 6 to step 12
    models = [checkpoint.load(str(folder))[0].state_dict() for folder in (whole, killed)]
    torch.testing.assert_close(*models, rtol=0, atol=0)


def test_what_is_too_long_is_set_aside(local_ray, train):
    table = pa.concat_tables([utterances(length=9, splits=["train"]), utterances(["en"], ["validation"], length=10)])
    loop = {**LOOP, "max_steps": 1}
    counts, folder = train("run", table, model={**MODEL, "max_positions": 10}, loop=loop)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (12, 6, 6)
    reasons = {row["reason"] for row in datasets.rejects(str(folder))}
    assert "'en-validation-0' has more tokens than max_positions=10" in reasons


def test_tokens_stand_between_the_ends_of_two_utterances():
    table = utterances(splits=["train"], length=3)
    empty = {**table.to_pylist()[0], "utterance_id": "empty", "units": [], "durations": []}
    table = pa.concat_tables([table, pa.Table.from_pylist([empty], UNITS)])
    rows = ToTokens(UnitLmConfig(num_units=NUM_UNITS))(table).to_pylist()
    assert len(rows) == NUM_UNITS
    assert rows[1]["tokens"] == [EOS, 5, 6, 7, EOS]
    batch = collate([rows[1], {"tokens": [EOS, 4, EOS]}], np.random.default_rng(0))
    assert batch["tokens"].tolist() == [[EOS, 5, 6, 7, EOS], [EOS, 4, EOS, PAD, PAD]]


def test_mistakes_are_told(train):
    with pytest.raises(UserError, match="no units to learn from in 'fr' .found: en, hi."):
        train("a", utterances(["en", "hi"]), lang="fr")
    with pytest.raises(UserError, match="loop.best_metric 'mcd' is not one of loss"):
        train("b", utterances(), loop={**LOOP, "best_metric": "mcd"})
    table = utterances()
    other = table.set_column(
        table.schema.get_field_index("codebook"), "codebook", pa.array(["mfcc-0-1-x"] * len(table))
    )
    with pytest.raises(UserError, match="are not units of"):
        train("c", other)
