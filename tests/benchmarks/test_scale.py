"""The arithmetic of docs/scale.md, on rates and settings that one can do in the head."""

import pytest

from benchmarks import scale
from benchmarks.results import Row
from benchmarks.scale import Inputs, Size, Work
from pipelines.dump_units import DumpUnitsConfig
from pipelines.fit_codebook import FitCodebookConfig
from s2st.feature_extractor import FeaturesConfig
from stages.recipe import find_recipe, open_recipe
from trainers.hubert import PretrainHubertConfig
from trainers.run import LoopConfig
from trainers.translation import TranslationConfig
from trainers.vocoder import VocoderConfig

SPEED = {
    "units.mfcc": 1000.0,
    "units.hubert_fp32": 5.0,
    "units.kmeans_fit": 100.0,
    "hubert.step_rate": 4.0,
    "translation.train_rate": 200.0,
    "vocoder.train_rate": 5.0,
}
MFCC, HUBERT = FeaturesConfig("mfcc"), FeaturesConfig("hubert", layer=6)
LOOP = LoopConfig(max_steps=1200, accumulate=2, num_workers=3)  # 7200 batches
INPUTS = Inputs("fleurs_en_hi", (), core_hour=0.5, gpu_hour=5.0, cores=10, gpu_worth_cores={"pipelines.dump_units": 20})


def test_units_take_as_long_as_their_features():
    assert scale.core_hours(DumpUnitsConfig(), MFCC, 3000, SPEED) == 3
    assert scale.core_hours(DumpUnitsConfig(), HUBERT, 3000, SPEED) == 600


def test_a_codebook_hears_a_sample_or_all_there_is():
    measured = FitCodebookConfig(features=HUBERT, num_units=100, num_frames=50 * 3600 * 10)  # as it was measured, 10 h
    assert scale.core_hours(measured, HUBERT, 1e6, SPEED) == pytest.approx(10 / 5 + 10 / 100)
    assert scale.core_hours(measured, HUBERT, 5, SPEED) == pytest.approx(5 / 5 + 5 / 100)
    larger = FitCodebookConfig(features=HUBERT, num_units=1000, restarts=2, num_frames=50 * 3600 * 10)
    assert scale.core_hours(larger, HUBERT, 1e6, SPEED) == pytest.approx(10 / 5 + 20 * 10 / 100)


def test_trainings_take_the_updates_of_the_recipe():
    hubert = PretrainHubertConfig(batch_seconds=60, max_seconds=15, loop=LOOP)  # twice the measured batch of 3 x 10 s
    assert scale.core_hours(hubert, None, 1, SPEED) == pytest.approx(7200 * 2 / 4 / 60)
    translation = TranslationConfig(max_tokens=1000, loop=LOOP)
    assert scale.core_hours(translation, None, 1, SPEED) == pytest.approx(7200 * 1000 / 200 / 3600)
    vocoder = VocoderConfig(
        languages=("en",), hifigan={}, discriminators={}, batch_size=8, loop=LOOP
    )  # 4 were measured
    assert scale.core_hours(vocoder, None, 1, SPEED) == pytest.approx(7200 * 2 / 5 / 60)


def test_a_section_of_one_language_stands_for_all():
    _, steps, _ = open_recipe(find_recipe("fleurs_en_hi"), [])
    few, many = (
        {work.section: work for work in scale.work_of(steps, Size("", 100, languages), SPEED)} for languages in (1, 7)
    )
    assert set(few) >= {"manifest", "hubert_3", "units", "translator", "vocoder_*", "judge"}
    assert not any(section.endswith(("_en", "_hi")) for section in few)
    assert many["vocoder_*"].core_hours == pytest.approx(7 * few["vocoder_*"].core_hours)
    assert many["vocoder_*"].workers == 7 * few["vocoder_*"].workers
    assert many["units"] == few["units"]
    assert few["manifest"].core_hours is few["judge"].core_hours is None


def test_the_bottleneck_is_what_costs_most_and_what_takes_longest():
    wide, slow = Work("wide", "a", 960.0, 100), Work("slow", "b", 480.0, 2)
    told = scale.bottleneck([wide, slow, Work("x", "c", None, 1)], cores=10)
    assert "in cost `wide` (67% of the core-hours)" in told  # 96 hours on all 10 cores
    assert "in time `slow`, whose 2 workers take 10 days" in told


def test_prices_and_the_worth_of_a_gpu_are_inputs():
    table = scale.size_table(INPUTS, [Work("units", "pipelines.dump_units", 400.0, 4), Work("t", "t", 20.0, 1)])
    assert "| units | 400 | 200 | 100 | 100 |" in table
    assert "| t | 20 | 10 | 20 | not measured |" in table
    rates = {"r": Row("r", 30.0, None, None, "steps / CPU-min", "m", "c", "2026-01-01T00:00:00")}
    assert "| `r` | 30 steps / CPU-min | 300 steps / min |" in scale.rates_table(INPUTS, rates)


def test_the_page_has_every_size_with_the_rates_as_measured():
    rates = scale.read_rates()
    inputs = Inputs("fleurs_en_hi", (Size("A", 10, 2), Size("B", 1e5, 102)), 1, 1, 10, {})
    text = scale.text_of(inputs, rates)
    assert text.count("**Bottleneck**") == text.count("Times that each hour is heard") == 2
    assert all(f"`{name}`" in text for name in rates)
    assert scale.PLACE.search(scale.PAGE.read_text())  # where the command writes it
