"""Translations of speech: a batch equals each source alone, limits hold, languages are checked."""

import pytest
import torch

from s2st.beam_search import SearchOptions
from s2st.models.s2ut import S2ut, S2utConfig, UnitDecoderConfig
from s2st.models.speech_source import SpeechSourceConfig
from s2st.speech_decoding import translate_speech

LENGTHS = torch.tensor([60, 41, 50])
OPTIONS = SearchOptions(beam=3, n_best=2, max_len_a=0.2, max_len_b=5)


def model(**settings) -> S2ut:
    torch.manual_seed(0)
    config = S2utConfig(
        num_units=20,
        source=SpeechSourceConfig(num_layers=2, model_dim=16, num_heads=2, ffn_dim=32, conv_dim=24),
        decoder=UnitDecoderConfig(num_layers=2, model_dim=24, num_heads=4, ffn_dim=32),
        **settings,
    )
    made = S2ut(config).eval()
    for parameter in made.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.5)
    return made


@pytest.mark.parametrize("settings", [{}, {"languages": ("en", "hi")}, {"units_per_step": 3}])
def test_a_batch_equals_each_source_alone(settings: dict) -> None:
    translator, features, langs = model(**settings), torch.randn(3, 60, 80), ["hi", "en", "hi"]
    together = translate_speech(translator, features, LENGTHS, langs, OPTIONS)
    assert len({tuple(best.units) for best, *_ in together}) == 3
    for row, length in enumerate(LENGTHS.tolist()):
        source = (features[row : row + 1, :length], LENGTHS[row : row + 1])
        (alone,) = translate_speech(translator, *source, langs[row : row + 1], OPTIONS)
        assert [found.units.tolist() for found in alone] == [found.units.tolist() for found in together[row]]
        assert [found.score for found in alone] == pytest.approx([found.score for found in together[row]], abs=1e-4)
        assert all(len(found.units) <= 0.2 * length + 5 + 2 for found in alone)  # a started step is filled


def test_the_language_matters() -> None:
    translator, features = model(languages=("en", "hi")), torch.randn(1, 60, 80)
    found = [translate_speech(translator, features, LENGTHS[:1], [lang], OPTIONS)[0][0] for lang in ("en", "hi")]
    assert found[0].units.tolist() != found[1].units.tolist()
    with pytest.raises(ValueError, match="does not translate into 'ko' .it knows en, hi"):
        translate_speech(translator, features, LENGTHS[:1], ["ko"], OPTIONS)
    with pytest.raises(ValueError, match="1 sources and 2 target languages"):
        translate_speech(translator, features, LENGTHS[:1], ["en", "hi"], OPTIONS)


def test_samples_are_drawn_by_the_generator() -> None:
    translator, features = model(), torch.randn(1, 60, 80)
    options = SearchOptions(sampling=True, n_best=4, max_len_a=0.2, max_len_b=5)
    first, again, other = (
        translate_speech(translator, features, LENGTHS[:1], ["hi"], options, torch.Generator().manual_seed(seed))[0]
        for seed in (1, 1, 2)
    )
    assert [found.units.tolist() for found in first] == [found.units.tolist() for found in again]
    assert [found.units.tolist() for found in first] != [found.units.tolist() for found in other]
