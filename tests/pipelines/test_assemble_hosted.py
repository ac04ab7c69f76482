"""A hosted service as a model of a recipe, with a service that is played here."""

import shutil

import numpy as np
import pyarrow as pa
import pytest

from pipelines import assemble_hosted, translate
from pipelines.batch_translator import COSTS, BatchTranslator
from pipelines.translate import TranslateConfig
from s2st import audio, storage
from s2st.baselines import hosted, hosted_cost
from s2st.baselines.hosted import HostedConfig
from s2st.baselines.hosted_cost import Prices
from s2st.baselines.hosted_service import Service
from s2st.baselines.openai_service import OpenAiConfig
from s2st.schemas import SPEECH_PAIRS
from stages import datasets
from stages.stage import Step


class Played(Service):
    """Hears four letters, and speaks a second of noise."""

    def hear(self, waveform, lang):
        return "noon"

    def translate(self, text, source, to):
        return text[::-1]

    def speak(self, text, lang):
        return audio.encode(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))


@pytest.fixture
def assembled(tmp_path, tiny_model, monkeypatch):
    """The step of a hosted model, with a codebook."""
    monkeypatch.setattr(hosted, "make_service", lambda config: Played())
    shutil.copytree(f"{tiny_model}/codebook", tmp_path / "codebook")
    step = Step("hosted", "pipelines.assemble_hosted", str(tmp_path), {}, {"codebook": ["codebook"]})
    prices = Prices("EUR", minute_heard=60.0, million_characters_translated=1e6)
    config = HostedConfig(("en-hi",), openai=OpenAiConfig(), prices=prices)
    assert assemble_hosted.run(config, step).rows_out == 1
    return step.output


def pairs(count, tone, units):
    names = {"source_lang": "en", "target_lang": "hi", "split": "test", "codebook": units}
    sounds = {"source_audio": audio.encode(tone), "target_audio": audio.encode(tone[:9000])}
    rows = [
        {"pair_id": f"{i}", "sentence_id": f"{i}", "target_units": np.array([4, 5], np.uint16), **names, **sounds}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=SPEECH_PAIRS)


def test_what_translations_cost_is_written_beside_them(assembled, tmp_path, tone):
    units = storage.read_json(f"{assembled}/model.json")["units"]
    output = f"{tmp_path}/translations"
    for workers_rows in (2, 3):
        worker = BatchTranslator(assembled, {}, 0, output)
        for _ in range(workers_rows):
            (translation,) = worker(pairs(1, tone, units)).to_pylist()
            assert len(translation["units"])
            np.testing.assert_allclose(audio.decode(translation["ceiling_audio"]), tone[:9000], atol=1e-4)
    costs = hosted_cost.add_up(f"{output}/{COSTS}")
    assert costs["requests"] == 5 * 3
    assert costs["cost"] == pytest.approx(5 * 1.0 + 5 * 4)
    assert costs["currency"] == "EUR"


def test_the_model_translates_speech_pairs(assembled, tmp_path, tone):
    datasets.write_table(pairs(1, tone, storage.read_json(f"{assembled}/model.json")["units"]), f"{tmp_path}/pairs")
    inputs = {"speech_pairs": ["pairs"], "model": ["hosted"]}
    step = Step("translations", "pipelines.translate", str(tmp_path), {}, inputs)
    translate.check_inputs(TranslateConfig(), step)
