import dataclasses
import shutil

import numpy as np
import pyarrow as pa
import pytest

from pipelines import assemble, translate
from pipelines.assemble import AssembleConfig
from pipelines.batch_translator import BatchTranslator
from pipelines.translate import TranslateConfig
from s2st import audio, storage
from s2st.config import UserError
from s2st.schemas import PAIRS, SPEECH_PAIRS, TRANSLATIONS
from s2st.speech_decoding import SPEECH_SEARCH
from stages import datasets
from stages.stage import Step


def step_of(folder, **inputs):
    return Step("translations", "pipelines.translate", str(folder), {}, {name: [name] for name in inputs} | inputs)


def write_pairs(folder, model, tone):
    units = storage.read_json(f"{model}/model.json")["units"]
    rows = [
        {
            "pair_id": f"pair-{i}",
            "sentence_id": f"{i}",
            "source_lang": "en",
            "target_lang": "hi",
            "split": "test" if i else "train",
            "source_utterance_id": f"en-{i}",
            "target_utterance_id": f"hi-{i}",
            "source_audio": audio.encode(tone[: 8_000 + 1_000 * i]),
            "target_audio": audio.encode(tone),
            "source_units": np.array([1, 2, 3], np.uint16),
            "target_units": np.array([4, 5, 4], np.uint16),
            "codebook": units,
        }
        for i in range(4)
    ]
    datasets.write_table(pa.Table.from_pylist(rows, schema=SPEECH_PAIRS), f"{folder}/speech_pairs")
    datasets.write_table(pa.Table.from_pylist(rows, schema=PAIRS), f"{folder}/pairs")


@pytest.mark.parametrize("kind", ["s2ut", "mel_lstm"])
def test_recordings_are_translated(local_ray, tiny_direct_models, tmp_path, tone, kind):
    shutil.copytree(tiny_direct_models[kind], tmp_path / "model")
    write_pairs(tmp_path, tmp_path / "model", tone)
    step = step_of(tmp_path, speech_pairs=["speech_pairs"], model=["model"])
    config = TranslateConfig(beam=1, max_workers=1)
    translate.check(config, step)
    translate.check_inputs(config, step)
    counts = translate.run(config, step)
    rows = datasets.read_table(step.output, TRANSLATIONS).to_pylist()
    assert (counts.rows_in, counts.rows_out) == (3, 3)
    assert {row["pair_id"] for row in rows} == {"pair-1", "pair-2", "pair-3"}
    for row in rows:
        assert row["reference_units"] == [4, 5, 4]
        assert len(row["units"]) == len(row["durations"]) > 0
        assert sum(row["durations"]) / 50 == pytest.approx(row["seconds"], abs=0.05)
        assert row["loops"] in (True, False)
        assert row["audio"][:4] == row["ceiling_audio"][:4] == b"fLaC"


def test_the_kind_of_pairs_is_that_of_the_model(tiny_model, tiny_direct_models, tmp_path, tone):
    shutil.copytree(tiny_direct_models["s2ut"], tmp_path / "hears")
    shutil.copytree(tiny_model, tmp_path / "reads")
    write_pairs(tmp_path, tmp_path / "reads", tone)
    with pytest.raises(UserError, match="its model is a s2ut; name speech_pairs instead"):
        translate.check_inputs(TranslateConfig(), step_of(tmp_path, pairs=["pairs"], model=["hears"]))
    with pytest.raises(UserError, match="its model is a unit_transformer; name pairs instead"):
        translate.check_inputs(TranslateConfig(), step_of(tmp_path, speech_pairs=["speech_pairs"], model=["reads"]))
    with pytest.raises(UserError, match="needs pairs, .* or speech_pairs, .*; name one of the two"):
        translate.check(TranslateConfig(), step_of(tmp_path, model=["reads"]))


def test_translators_that_speak_have_no_vocoder(tiny_direct_models, tmp_path):
    for kind, vocoders, message in (
        ("mel_lstm", ["vocoders/hi"], "its translator is a mel_lstm, which speaks itself; remove the vocoders"),
        ("s2ut", [], "its translator is a s2ut, which gives units; name vocoders that speak them"),
    ):
        folder = tmp_path / kind
        shutil.copytree(tiny_direct_models[kind], folder)
        inputs = {"codebook": ["codebook"], "translator": ["translator"], "vocoders": vocoders}
        step = Step("model", "pipelines.assemble", str(folder), {}, inputs)
        with pytest.raises(UserError, match=message):
            assemble.check_inputs(AssembleConfig(), step)


def test_a_model_without_vocoders_is_put_together(tiny_direct_models, tmp_path):
    shutil.copytree(tiny_direct_models["mel_lstm"], tmp_path / "parts")
    inputs = {"codebook": ["codebook"], "translator": ["translator"]}
    step = Step("model", "pipelines.assemble", str(tmp_path / "parts"), {}, inputs)
    assemble.check_inputs(AssembleConfig(), step)
    assemble.run(AssembleConfig(), step)
    expected = storage.read_json(f"{tiny_direct_models['mel_lstm']}/model.json")
    assert storage.read_json(f"{step.output}/model.json") == expected


def test_settings_of_the_search_replace_the_models_own():
    config = TranslateConfig(beam=3, length_penalty=0.5, max_len_b=7)
    assert dataclasses.replace(SPEECH_SEARCH, **config.search()) == dataclasses.replace(
        SPEECH_SEARCH, beam=3, length_penalty=0.5, max_len_b=7
    )
    drawn = TranslateConfig(sampling=True, temperature=0.7, top_k=5, top_p=0.9).search()
    assert (drawn["sampling"], drawn["temperature"], drawn["top_k"], drawn["top_p"]) == (True, 0.7, 5, 0.9)
    with pytest.raises(ValueError, match="top_k and top_p .* need sampling"):
        TranslateConfig(top_k=5)
    with pytest.raises(ValueError, match="beam 0 keeps nothing"):
        TranslateConfig(beam=0)


@pytest.mark.parametrize("kind", ["unit_transformer", "s2ut", "mel_lstm"])
def test_what_the_model_cannot_take_is_set_aside(tiny_model, tiny_direct_models, tmp_path, tone, kind):
    reads = kind == "unit_transformer"
    model = tiny_model if reads else tiny_direct_models[kind]
    write_pairs(tmp_path, model, tone)
    name, schema = ("pairs", PAIRS) if reads else ("speech_pairs", SPEECH_PAIRS)
    rows = datasets.read_table(f"{tmp_path}/{name}", schema).to_pylist()
    if reads:
        rows[1]["source_units"], rows[2]["source_units"] = [], [1, 2] * 2_000
    else:
        rows[1]["target_audio" if kind == "mel_lstm" else "source_audio"] = b"no audio"
        rows[2]["source_audio"] = audio.encode(np.tile(tone, 61))
    translator = BatchTranslator(model, {"beam": 1}, 0, str(tmp_path))
    found = translator(pa.Table.from_pylist(rows, schema=schema)).to_pylist()
    assert [row["pair_id"] for row in found] == ["pair-0", "pair-3"]
    rejects = {row["utterance_id"]: row["reason"] for row in datasets.rejects(str(tmp_path))}
    assert rejects.keys() == {"en-1", "en-2"}
    assert "pair 'pair-2'" in rejects["en-2"]
    assert "cannot be translated" in rejects["en-2"]


def test_what_is_drawn_hangs_on_the_seed(tiny_direct_models, tmp_path, tone):
    model = tiny_direct_models["s2ut"]
    write_pairs(tmp_path, model, tone)
    pairs = datasets.read_table(f"{tmp_path}/speech_pairs", SPEECH_PAIRS)
    first, again, other = (
        BatchTranslator(model, {"sampling": True}, seed, str(tmp_path))(pairs)["units"].to_pylist()
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("translator", "settings", "message"),
    [
        ({"model": "mel_lstm", "config": {}}, {"beam": 3, "max_len_b": 9}, "spectrograms.*; remove max_len_b, beam"),
        ({"model": "s2ut", "config": {"units_per_step": 2}}, {"sampling": True}, "stacks units.*; remove sampling"),
    ],
)
def test_settings_that_do_nothing_are_refused(tmp_path, translator, settings, message):
    with pytest.raises(UserError, match=message):
        translate.check_search(TranslateConfig(**settings), step_of(tmp_path), translator)
    translate.check_search(TranslateConfig(beam=1), step_of(tmp_path), translator)
