from pathlib import Path

import pytest

from recipes.__main__ import _short, table
from s2st.config import UserError
from stages.recipe import find_recipe, open_recipe
from stages.stage import config_of

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_of_the_project_are_valid(path):
    _, steps, _ = open_recipe(str(path), [])
    assert steps[-1].stage == "pipelines.report"


def test_full_size_models_are_only_other_numbers():
    """fleurs_en_hi builds HuBERT base, the 12+12 Transformer and the 13.4 M unit HiFi-GAN."""
    import torch

    from s2st.models.hubert import Hubert
    from s2st.models.unit_hifigan import UnitHifigan

    _, steps, _ = open_recipe(find_recipe("fleurs_en_hi"), [])
    configs = {step.name: config_of(step) for step in steps}
    with torch.device("meta"):
        sizes = {
            "hubert": sum(p.numel() for p in Hubert(configs["hubert_1"].model).parameters()),
            "vocoder": sum(p.numel() for p in UnitHifigan(configs["vocoder_en"].hifigan).parameters()),
        }
    assert sizes == {"hubert": 94_697_600, "vocoder": 13_370_243}
    assert configs["translator"].model.num_layers == 12


def test_fleurs_ctc_has_the_settings_of_base_10h():
    """fairseq's examples/hubert/config/finetune/base_10h.yaml, where the trainer's own defaults say it, too."""
    from trainers.ctc import TrainCtcConfig
    from trainers.schedule import learning_rate

    _, steps, _ = open_recipe(find_recipe("fleurs_ctc"), [])
    config = next(config_of(step) for step in steps if step.name == "letters")
    assert config == TrainCtcConfig(loop=config.loop)
    assert config.loop.max_steps == 25_000
    assert learning_rate(config.loop, 8000) == 2e-5
    assert learning_rate(config.loop, 24_999) == pytest.approx(2e-5 * 0.05 ** (16_999 / 72_000))


def test_models_that_hear_speech_have_the_papers_sizes():
    """Of fairseq's s2ut_transformer_fisher at K=100, without tasks, and s2spect_transformer_fisher."""
    import dataclasses

    import torch

    from s2st.models.s2spect import S2Spect
    from s2st.models.s2ut import S2ut

    s2ut, s2spect = (
        next(config_of(step) for step in open_recipe(find_recipe(recipe), [])[1] if step.name == name)
        for recipe, name in (("s2ut", "translator"), ("s2spect", "s2spect"))
    )
    with torch.device("meta"):
        models = S2ut(dataclasses.replace(s2ut.model, num_units=100, tasks={})), S2Spect(s2spect.s2spect)
    assert [sum(p.numel() for p in model.parameters()) for model in models] == [27_002_880, 48_198_786]
    assert {name: (task.encoder_layer, task.decoder_layer) for name, task in s2ut.model.tasks.items()} == {
        "source_letter": (6, 0),
        "target_letter": (8, 0),
        "decoder_target_ctc": (0, 3),
    }


def test_unit_transformer_is_fairseqs_of_that_size():
    """Source embedding, target embedding, 12 layers a side of 512 and 2048: no other weights, no language symbols."""
    import torch

    from s2st.models.unit_transformer import UnitTransformer

    _, steps, _ = open_recipe(find_recipe("unit_transformer"), [])
    config = next(config_of(step) for step in steps if step.name == "translator")
    assert not config.language_symbols
    attention, feed_forward, norm = 4 * (512 * 512 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
    encoder, decoder = attention + feed_forward + 2 * norm, 2 * attention + feed_forward + 3 * norm
    with torch.device("meta"):
        model = UnitTransformer(config.model)
    assert sum(p.numel() for p in model.parameters()) == 2 * 1004 * 512 + 12 * (encoder + decoder)


def test_utut_adds_korean_to_a_model_of_four_languages():
    _, steps, _ = open_recipe(find_recipe("utut"), [])
    named = {step.name: step for step in steps}
    assert config_of(named["denoised"]).languages == ("en", "hi", "es", "fr")
    assert len(config_of(named["pairs_of_four"]).directions) == 4 * 3
    assert not any("ko" in direction for direction in config_of(named["pairs_of_four"]).directions)
    assert [named[name].inputs["translator"] for name in ("translator_of_four", "translator")] == [
        ["denoised"],
        ["translator_of_four"],
    ]


def test_baselines_judges_every_approach_alike():
    _, steps, _ = open_recipe(find_recipe("baselines"), [])
    named = {step.name: step for step in steps}
    translators = {step.name for step in steps if step.stage.startswith("pipelines.assemble")}
    compared = [named[name].inputs for name in named["comparison"].inputs["evaluations"]]
    judged = [named[inputs["translations"][0]].inputs["model"][0] for inputs in compared]
    assert set(judged) == set(named["speeds"].inputs["models"]) == translators
    assert {(*inputs["manifest"], *inputs["recognizers"]) for inputs in compared} == {("manifest", "judge_en")}
    assert config_of(named["comparison"]).names.keys() == set(named["comparison"].inputs["evaluations"])


def test_names_and_paths_of_recipes():
    assert find_recipe("demo").endswith("recipes/demo.yaml")
    assert find_recipe("my/own.yaml") == "my/own.yaml"
    with pytest.raises(UserError, match="there is no recipe 'dmeo' .known: baselines, cascade, ctc_phrasebook, "):
        find_recipe("dmeo")


def test_the_closing_table_has_a_row_a_step():
    _, steps, _ = open_recipe(find_recipe("demo"), [])
    record = {"rows_out": 3, "rejects": 1, "audio_hours": 0.5, "seconds": 2.0}
    lines = table(steps, [record] * len(steps)).splitlines()
    assert len(lines) == len(steps) + 1
    assert "seconds" in lines[0]
    assert lines[1].startswith("manifest")


def test_paths_are_short_but_in_a_job_whole(monkeypatch):
    path = f"{Path.cwd()}/runs/x"
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    assert _short(path) == "runs/x"
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert _short(path) == path
