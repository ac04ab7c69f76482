import dataclasses
import json
import shutil
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError, build
from s2st.decoding import translate_units
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.schemas import PAIRS
from s2st.units import reduce
from stages import datasets
from stages.stage import Step
from trainers import translation
from trainers.balance import repetitions
from trainers.examples import Packing, examples
from trainers.translation import COLUMNS, ToTokens, TranslationConfig, check_plain
from trainers.unit_training import Times, TranslationObjective, begin, collate, model_config

NUM_UNITS, UNITS = 20, "mfcc-0-0-abc"
TINY = {"num_layers": 2, "model_dim": 32, "num_heads": 4, "ffn_dim": 64}


def write_pairs(folder, counts, split="train"):
    """Pairs of random reduced units: counts["hi-en"] of that direction."""
    random = np.random.default_rng(0)
    rows = []
    for direction, count in counts.items():
        source_lang, target_lang = direction.split("-")
        for i in range(count):
            source, target = (reduce(random.integers(0, NUM_UNITS, 12))[0].astype(np.uint16) for _ in range(2))
            name = f"{direction}-{i}"
            row = {"pair_id": name, "sentence_id": name, "split": split, "codebook": UNITS}
            row |= {"source_lang": source_lang, "target_lang": target_lang}
            row |= {"source_utterance_id": name, "target_utterance_id": name}
            rows.append(row | {"source_units": source, "target_units": target})
    datasets.write_table(pa.Table.from_pylist(rows, schema=PAIRS), folder, 0)


def write_codebook(folder):
    checkpoint.save(folder, Codebook(CodebookConfig(num_units=NUM_UNITS, feature_dim=4)), {"fingerprint": UNITS})


def write_translator(folder, units=UNITS, **changes):
    torch.manual_seed(0)
    config = UnitTransformerConfig(**{**TINY, "num_units": NUM_UNITS, "languages": ("hi", "en"), **changes})
    model = UnitTransformer(config).eval()
    checkpoint.save(folder, model, {"units": units, "directions": ["en-hi", "hi-en"]})
    return model


def step_with(folder, *inputs):
    return Step("translation", "trainers.translation", str(folder), {}, {name: [name] for name in inputs})


def planned(folder, *inputs, known=("en", "hi", "ko"), **settings):
    config = build(TranslationConfig, settings, "translation")
    return model_config(config, step_with(folder, *inputs), (UNITS, NUM_UNITS), known, lambda: [])


def test_directions_come_as_often_as_the_temperature_says(tmp_path):
    counts = {"en-hi": 600, "en-ko": 60}
    write_pairs(str(tmp_path), counts)
    config = UnitTransformerConfig(num_units=NUM_UNITS, languages=("en", "hi", "ko"))
    times = repetitions(counts, 2)
    packing, prepare = Packing(400), ToTokens(config)
    opened = examples(
        str(tmp_path),
        PAIRS,
        COLUMNS,
        {"split": "train"},
        packing,
        lambda row: 16,
        collate,
        prepare,
        Times("direction", times),
    )
    seen = Counter()
    for epoch in range(4):
        batches = list(opened.make(0, epoch))
        seen.update(name[:5] for batch in batches for name in batch["names"])
        assert list(opened.make(0, epoch, 3)) == batches[3:]  # a training that goes on there gets the same
    assert seen.total() == pytest.approx(4 * 660, rel=0.05)
    assert seen["en-ko"] / seen.total() == pytest.approx(times["en-ko"] * 60 / 660, rel=0.1)


def test_a_plain_model_needs_one_target_of_each_source(tmp_path):
    check_plain({"en-hi": 1, "hi-en": 1}, step_with(tmp_path))
    with pytest.raises(UserError, match="'en' is translated to 2 languages"):
        check_plain({"en-hi": 1, "en-ko": 1}, step_with(tmp_path))
    with pytest.raises(UserError, match="leave one of the two out"):
        build(TranslationConfig, {"language_symbols": False, "languages": ["en"]}, "translation")


def test_a_model_that_is_begun_with_keeps_its_symbols_and_gets_new_ones_behind(tmp_path):
    old = write_translator(str(tmp_path / "translator"), merges=((1, 2),))
    config = planned(tmp_path, "translator", model={"dropout": 0.3, "num_layers": 2})
    assert config == dataclasses.replace(old.config, languages=("hi", "en", "ko"), dropout=0.3)
    assert planned(tmp_path, model=TINY).languages == ("en", "hi", "ko")
    begun = begin(config, str(tmp_path / "translator"))
    symbol = old.vocabulary.first_language
    torch.testing.assert_close(begun.embed_tokens.weight[: symbol + 2], old.embed_tokens.weight[:-1])
    torch.testing.assert_close(begun.embed_tokens.weight[-1], old.embed_tokens.weight[-1])


@pytest.mark.parametrize(
    ("translator", "settings", "message"),
    [
        ({"units": "other"}, {}, "knows other units"),
        ({"merges": ((1, 2),)}, {"num_merges": 5}, "num_merges=5, but the translator .* has 1"),
        ({"languages": ()}, {}, "has no language symbols"),
        ({}, {"model": {"num_layers": 7}}, "model.num_layers=7, but its translator has 2"),
        ({}, {"languages": ["en", "hi"]}, "the data have 'ko'"),
    ],
)
def test_mistakes_are_named(tmp_path, translator, settings, message):
    write_translator(str(tmp_path / "translator"), **translator)
    with pytest.raises(UserError, match=message):
        planned(tmp_path, "translator", **settings)


def test_ten_sentences_are_learned_by_heart(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.run.fingerprint", lambda step: "x")
    write_pairs(str(tmp_path / "pairs"), {"en-hi": 4, "en-ko": 3, "ko-en": 3})
    write_codebook(str(tmp_path / "codebook"))
    loop = {"max_steps": 150, "learning_rate": 4e-3, "warmup_steps": 10, "num_workers": 0, "weight_decay": 0.0}
    model = {**TINY, "pre_ln": True, "dropout": 0.0, "label_smoothing": 0.0}
    config = build(TranslationConfig, {"model": model, "loop": loop, "temperature": 2.0}, "translation")
    translation.run(config, step_with(tmp_path, "pairs", "codebook"))
    learned, info = checkpoint.load(str(tmp_path / "translation"), "unit_transformer")
    assert info == {"units": UNITS, "directions": ["en-hi", "en-ko", "ko-en"]}
    rows = datasets.read_table(str(tmp_path / "pairs"), PAIRS).to_pylist()
    sources = [np.array(row["source_units"]) for row in rows]
    langs = [[row[f"{side}_lang"] for row in rows] for side in ("source", "target")]
    for row, (best, *_) in zip(rows, translate_units(learned, sources, *langs), strict=True):
        assert best.units.tolist() == row["target_units"]


@pytest.mark.slow  # the same of the loop and of vocoders is in every run
def test_two_workers_do_what_one_does_with_two_batches(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.run.fingerprint", lambda step: "x")
    write_pairs(str(tmp_path / "pairs"), {"en-hi": 9, "hi-en": 9})
    write_codebook(str(tmp_path / "codebook"))
    learned = []
    for shared in ({"num_workers": 2, "cpus_per_worker": 0.5}, {"num_workers": 0, "accumulate": 2}):
        loop = {"max_steps": 6, "learning_rate": 1e-2, "warmup_steps": 1, "clip_norm": 1.0, **shared}
        settings = {"model": {**TINY, "dropout": 0.0}, "loop": loop, "max_tokens": 60}
        translation.run(build(TranslationConfig, settings, "translation"), step_with(tmp_path, "pairs", "codebook"))
        learned.append(checkpoint.load(str(tmp_path / "translation"), "unit_transformer")[0].state_dict())
        shutil.rmtree(tmp_path / "_working")
    begun = begin(UnitTransformerConfig(**TINY, num_units=NUM_UNITS, languages=("en", "hi")), None).state_dict()
    for name, weight in learned[0].items():
        torch.testing.assert_close(weight, learned[1][name], atol=2e-4, rtol=1e-3)
    assert not torch.allclose(learned[0]["embed_tokens.weight"], begun["embed_tokens.weight"], atol=1e-2)


def test_a_validation_translates_its_first_batch(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.run.fingerprint", lambda step: "x")
    for split in ("train", "validation"):
        write_pairs(str(tmp_path / "pairs" / split), {"en-hi": 6}, split)
    write_codebook(str(tmp_path / "codebook"))
    loop = {"max_steps": 40, "learning_rate": 4e-3, "num_workers": 0, "checkpoint_every": 20, "keep_best": True}
    loop["best_metric"] = "mcd"
    config = build(TranslationConfig, {"model": {**TINY, "dropout": 0.0}, "loop": loop}, "translation")
    vocoder = UnitVocos(UnitVocosConfig(num_units=NUM_UNITS, channels=16, num_blocks=1))
    voice = {"units": UNITS, "speakers": ["a"], "languages": ["hi"], "default_speakers": {"hi": "a"}}
    checkpoint.save(str(tmp_path / "vocoders"), vocoder, voice)
    step = step_with(tmp_path, "pairs", "codebook", "vocoders")
    translation.check(config, step)
    translation.check_inputs(config, step)
    translation.run(config, step)
    lines = [json.loads(line) for line in (tmp_path / "translation" / "metrics.jsonl").read_text().splitlines()]
    judged = [line for line in lines if "validation_loss" in line]
    assert [line["step"] for line in judged] == [20, 40]
    for line in judged:
        assert line["validation_unit_error_rate"] > 0
        assert 0 <= line["validation_diversity"] <= 2
        assert 0 <= line["validation_unit_bleu"] < 100
        assert line["validation_mcd"] > 0


def test_a_translator_that_says_the_same_to_everything_is_told(tmp_path):
    objective = TranslationObjective(write_translator(str(tmp_path)), ["hi"])
    units = [np.random.default_rng(i).permutation(NUM_UNITS)[:12] for i in range(8)]
    vocabulary = objective.translator.vocabulary
    rows = [{"source": vocabulary.source_tokens(u, "en"), "target": vocabulary.target_tokens(u, "hi")} for u in units]
    for layer in objective.translator.decoder.layers:  # the attention to the source has collapsed
        torch.nn.init.zeros_(layer.encoder_attn.out_proj.weight)
    found = objective.judge(collate(rows, np.random.default_rng(0)), 0)
    assert found["diversity"] == 0
    assert "nearly the same whatever it hears" in objective.validation_concern(found)
    assert "diversity" not in objective.judge(collate(rows, np.random.default_rng(0)), 1)


def test_pairs_that_are_too_long_are_set_aside(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.run.fingerprint", lambda step: "x")
    write_pairs(str(tmp_path / "pairs"), {"en-hi": 20})
    write_codebook(str(tmp_path / "codebook"))
    rows = datasets.read_table(str(tmp_path / "pairs"), PAIRS).to_pylist()
    longest = max(len(row["source_units"]) for row in rows) + 3
    loop = {"max_steps": 2, "num_workers": 0}
    config = build(TranslationConfig, {"model": {**TINY, "max_positions": longest - 1}, "loop": loop}, "translation")
    counts = translation.run(config, step_with(tmp_path, "pairs", "codebook"))
    expected = sum(max(len(row["source_units"]) + 3, len(row["target_units"]) + 1) >= longest for row in rows)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (20, 20 - expected, expected)
    rejects = datasets.rejects(str(tmp_path / "translation"))
    assert len(rejects) == expected > 0
    assert f"has more tokens than max_positions={longest - 1}" in rejects[0]["reason"]


def test_without_symbols_vocoders_need_one_target_language(tmp_path):
    write_pairs(str(tmp_path / "pairs"), {"en-hi": 4, "hi-en": 4})
    write_codebook(str(tmp_path / "codebook"))
    config = build(TranslationConfig, {"model": TINY, "language_symbols": False}, "translation")
    with pytest.raises(UserError, match="without language_symbols nothing tells whether en or hi is to be spoken"):
        translation.run(config, step_with(tmp_path, "pairs", "codebook", "vocoders"))
