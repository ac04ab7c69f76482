"""Translators that hear speech itself, as model folders."""

import numpy as np
import pytest
from torch import nn

from s2st import translators
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.translator import Translator, load_translator


@pytest.mark.parametrize("kind", ["s2ut", "mel_lstm"])
def test_a_batch_translates_as_its_members_do(tiny_direct_models, tone, kind):
    translator = translators.load(tiny_direct_models[kind])
    waveforms = [tone, tone[:9_000], tone[4_000:15_000]]
    together = translator.translate_batch(waveforms, ["en"] * 3, "hi", SearchOptions(beam=2))
    for waveform, found in zip(waveforms, together, strict=True):
        alone = translator.translate(waveform, "hi", options=SearchOptions(beam=2))
        np.testing.assert_array_equal(alone.units, found.units)
        np.testing.assert_allclose(alone.waveform, found.waveform, atol=1e-3)
        assert found.waveform.dtype == np.float32
        assert len(found.units) == len(found.durations) > 0
        assert len(found.source_units) == 0
        assert isinstance(found.finished, bool)
        assert isinstance(found.loops, bool)
    assert translator.translate_batch([], [], "hi") == []


def test_a_translator_read_for_a_cpu_has_its_weights_by_columns(tiny_model, tiny_direct_models):
    for folder, kind in ((tiny_model, "unit_transformer"), (tiny_direct_models["s2ut"], "s2ut")):
        layers = [layer for layer in load_translator(folder, "cpu", kind)[0].modules() if isinstance(layer, nn.Linear)]
        assert layers
        assert all(layer.weight.stride(0) == 1 for layer in layers)


@pytest.mark.parametrize("kind", ["s2ut", "mel_lstm"])
def test_what_cannot_be_translated_is_told(tiny_direct_models, tone, kind):
    translator = translators.load(tiny_direct_models[kind])
    with pytest.raises(UserError, match="this model does not speak 'en'; choose one of hi"):
        translator.translate(tone, "en")
    with pytest.raises(UserError, match=r"a recording of 0\.01 s cannot be translated; the model hears 0\.03 to"):
        translator.translate(tone[:200], "hi")


def test_a_long_recording_is_refused(tiny_direct_models, tone):
    with pytest.raises(UserError, match=r"a recording of 3\.00 s cannot be translated; the model hears 0\.03 to 2 s"):
        translators.load(tiny_direct_models["s2ut"]).translate(np.tile(tone, 3), "hi")


def test_the_kind_of_translator_is_found(tiny_model, tmp_path):
    assert isinstance(translators.load(tiny_model), Translator)
    with pytest.raises(UserError, match="there is no model in"):
        translators.load(str(tmp_path))
    with pytest.raises(UserError, match="translator is one part of a model; name the folder that pipelines.assemble"):
        translators.load(f"{tiny_model}/translator")
