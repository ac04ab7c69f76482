from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError, build
from s2st.denoising import SpanMasking
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.unit_transformer import UnitTransformerConfig
from s2st.schemas import PAIRS, UNITS
from s2st.units import BOS, EOS, PAD, reduce
from stages import datasets
from stages.stage import Step
from trainers import translation, unit_denoising
from trainers.unit_denoising import ToTokens, UnitDenoisingConfig, check, learned_languages, noised, too_long

NUM_UNITS, NAME = 20, "mfcc-0-0-abc"
TINY = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 16, "dropout": 0.0}
STILL = {"max_steps": 1, "learning_rate": 0.0, "weight_decay": 0.0, "num_workers": 0}


def utterances(langs=("en", "hi"), count=6):
    random = np.random.default_rng(0)
    rows = []
    for lang in langs:
        for i in range(count):
            units = np.repeat(random.integers(0, NUM_UNITS, 10), 2).astype(np.uint16)
            shared = {"sentence_id": str(i), "speaker": "a", "num_samples": 6400, "encoder": "", "layer": 0}
            shared |= {"utterance_id": f"{lang}-{i}", "lang": lang, "split": "train", "codebook": NAME}
            rows.append({**shared, "units": units, "durations": reduce(units)[1]})
    return pa.Table.from_pylist(rows, UNITS)


def test_units_are_reduced_and_other_languages_and_what_is_too_long_left_out():
    table = utterances(["en", "hi"], 2)
    config = UnitTransformerConfig(num_units=NUM_UNITS, languages=("en", "hi"))
    rows = ToTokens(config, ("en",))(table).to_pylist()
    for row, units in zip(rows, table["units"].to_pylist()[:2], strict=True):
        assert row["lang"] == "en"
        assert (np.array(row["tokens"]) - 4).tolist() == reduce(np.array(units))[0].tolist()
    assert len(ToTokens(replace(config, max_positions=8), ("en",))(table)) == 0


def test_what_is_too_long_is_set_aside(tmp_path):
    table = utterances(["en", "hi"])
    datasets.write_table(table, str(tmp_path / "units"))
    lengths = {row["utterance_id"]: len(row["durations"]) + 3 for row in table.to_pylist() if row["lang"] == "en"}
    most = max(lengths.values()) - 1
    config = UnitTransformerConfig(num_units=NUM_UNITS, languages=("en", "hi"), max_positions=most)
    step = Step("denoised", "trainers.unit_denoising", str(tmp_path), {}, {"units": ["units"]})
    rejects = too_long(ToTokens(config, ("en",)), step)
    assert [row["utterance_id"] for row in rejects] == [name for name, length in lengths.items() if length > most]
    assert rejects[0]["reason"] == f"'{rejects[0]['utterance_id']}' has more tokens than max_positions={most}"
    assert rejects[0]["split"] == "train"


def test_a_batch_restores_whole_units_in_their_own_language():
    config = UnitTransformerConfig(num_units=NUM_UNITS, languages=("en", "hi"))
    vocabulary, rows = config.vocabulary, ToTokens(config, config.languages)(utterances()).to_pylist()
    batch = noised(rows, np.random.default_rng(0), vocabulary, SpanMasking())
    for i, row in enumerate(rows):
        symbol = vocabulary.language_symbol(row["lang"])
        source = batch["source"][i, : batch["source_lengths"][i]].tolist()
        assert (source[0], source[-2:]) == (BOS, [EOS, symbol])
        inside = source[1:-2]
        assert vocabulary.mask in inside
        assert set(inside) <= {*row["tokens"], vocabulary.mask}
        target = batch["target"][i]
        assert target[target != PAD].tolist() == [symbol, *row["tokens"], symbol]
    again = noised(rows, np.random.default_rng(0), vocabulary, SpanMasking())
    assert all(torch.equal(batch[name], again[name]) for name in batch)


def test_a_language_without_training_rows_is_told(tmp_path):
    step = Step("denoised", "trainers.unit_denoising", str(tmp_path), {}, {"units": ["units"]})
    assert learned_languages(UnitDenoisingConfig(), {"hi": 3, "en": 2}, step) == ("en", "hi")
    assert learned_languages(UnitDenoisingConfig(languages=("hi",)), {"hi": 3, "en": 2}, step) == ("hi",)
    with pytest.raises(UserError, match=r"languages has 'hu', of which .* have no training row \(they have en, hi\)"):
        learned_languages(UnitDenoisingConfig(languages=("en", "hu")), {"hi": 3, "en": 2}, step)
    with pytest.raises(UserError, match="no row in the training split"):
        learned_languages(UnitDenoisingConfig(), {}, step)


def test_nothing_is_spoken(tmp_path):
    config = build(UnitDenoisingConfig, {"loop": {"best_metric": "mcd"}}, "denoised")
    with pytest.raises(UserError, match="nothing is spoken here"):
        check(config, Step("denoised", "trainers.unit_denoising", str(tmp_path), {}, {}))


def test_translation_begins_with_the_denoised_model_and_a_new_language(local_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("trainers.run.fingerprint", lambda step: "x")
    units = utterances(["en", "fr", "hi"])
    datasets.write_table(units, str(tmp_path / "units"))
    checkpoint.save(
        str(tmp_path / "codebook"), Codebook(CodebookConfig(num_units=NUM_UNITS, feature_dim=4)), {"fingerprint": NAME}
    )
    step = Step(
        "denoised", "trainers.unit_denoising", str(tmp_path), {}, {"units": ["units"], "codebook": ["codebook"]}
    )
    loop = {**STILL, "max_steps": 5, "learning_rate": 1e-2}
    settings = {"model": TINY, "loop": loop, "temperature": 3.0, "languages": ["en", "hi"], "num_merges": 3}
    assert unit_denoising.run(build(UnitDenoisingConfig, settings, "denoised"), step).rows_out == 12
    denoised, info = checkpoint.load(str(tmp_path / "denoised"), "unit_transformer")
    assert info == {"units": NAME, "directions": []}

    row = dict.fromkeys(("pair_id", "sentence_id", "source_utterance_id", "target_utterance_id"), "en-0")
    row |= {"source_lang": "en", "target_lang": "ko", "split": "train", "codebook": NAME}
    row |= {"source_units": [1, 2, 3], "target_units": [4, 5]}
    datasets.write_table(pa.Table.from_pylist([row], PAIRS), str(tmp_path / "pairs"))
    inputs = {name: [name] for name in ("pairs", "codebook")} | {"translator": ["denoised"]}
    config = build(translation.TranslationConfig, {"loop": STILL}, "translator")
    translation.run(config, Step("translator", "trainers.translation", str(tmp_path), {}, inputs))
    translator, info = checkpoint.load(str(tmp_path / "translator"), "unit_transformer")
    assert info["directions"] == ["en-ko"]
    assert translator.config.languages == ("en", "hi", "ko")
    symbol = translator.vocabulary.language_symbol("ko")
    torch.testing.assert_close(translator.embed_tokens.weight[:symbol], denoised.embed_tokens.weight[:symbol])
    first = translator.encoder.layers[0].fc1.weight
    torch.testing.assert_close(first, denoised.encoder.layers[0].fc1.weight)
