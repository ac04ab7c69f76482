"""pipelines.export_translator, and pipelines.import_translator that reads what it writes."""

import pytest
import torch
import yaml

from pipelines import export_translator, import_translator
from s2st import checkpoint
from s2st.config import UserError, build
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.s2spect import S2Spect, S2SpectConfig
from s2st.models.s2ut import S2ut, S2utConfig
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
from stages.stage import Counts, Step


def write_translator(folder, **changes):
    torch.manual_seed(0)
    sizes = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 16, "num_units": 20}
    model = UnitTransformer(UnitTransformerConfig(**sizes, **changes))
    checkpoint.save(f"{folder}/translator", model)
    checkpoint.save(f"{folder}/codebook", Codebook(CodebookConfig(20, 4)), {"fingerprint": "mfcc-0-0-abc"})
    return model


def export(folder):
    step = Step("exported", "pipelines.export_translator", str(folder), {}, {"translator": ["translator"]})
    export_translator.check_inputs(export_translator.ExportTranslatorConfig(), step)
    return export_translator.run(export_translator.ExportTranslatorConfig(), step)


def import_exported(folder, **settings):
    settings = {"fairseq": f"{folder}/exported/model.pt", "dictionary": f"{folder}/exported/dict.txt", **settings}
    step = Step("imported", "pipelines.import_translator", str(folder), settings, {"codebook": ["codebook"]})
    config = build(import_translator.STAGE.config, settings, "imported")
    import_translator.check(config, step)
    return import_translator.run(config, step)


@pytest.mark.parametrize(
    ("languages", "given", "directions"),
    [
        (("hi", "en"), [], ["hi-en", "en-hi"]),
        (("hi", "en"), ["en-hi"], ["en-hi"]),
        ((), ["en-es"], ["en-es"]),
    ],
)
def test_what_is_exported_can_be_imported(tmp_path, languages, given, directions):
    model = write_translator(tmp_path, languages=languages)
    assert export(tmp_path) == import_exported(tmp_path, directions=given) == Counts(0, 1, unit="translators")
    read, info = checkpoint.load(f"{tmp_path}/imported", "unit_transformer")
    assert read.config == model.config
    assert info["units"] == "mfcc-0-0-abc"
    assert info["directions"] == directions
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name


SIZES = {"num_layers": 1, "model_dim": 16, "num_heads": 2, "ffn_dim": 16}


def write_direct(folder, kind):
    """A model that hears speech, with random weights."""
    torch.manual_seed(0)
    source = {**SIZES, "conv_dim": 16}
    if kind == "s2ut":
        tasks = {"source_letter": {"target": "source_letters", "encoder_layer": 1, "symbols": ["a", "b"]}}
        settings = {"num_units": 20, "languages": ["en", "hi"], "source": source, "decoder": SIZES, "tasks": tasks}
        model = S2ut(build(S2utConfig, settings, kind))
    else:
        settings = {"source": source, "decoder": SIZES, "postnet": {"num_layers": 2, "dim": 16}}
        model = S2Spect(build(S2SpectConfig, settings, kind))
    checkpoint.save(f"{folder}/translator", model)
    checkpoint.save(f"{folder}/codebook", Codebook(CodebookConfig(20, 4)), {"fingerprint": "mfcc-0-0-abc"})
    return model


@pytest.mark.parametrize("kind", ["s2ut", "s2spect"])
def test_models_that_hear_speech_go_both_ways(tmp_path, kind):
    model = write_direct(tmp_path, kind)
    export(tmp_path)
    data = {"data": f"{tmp_path}/exported"} if kind == "s2ut" else {}
    import_exported(tmp_path, kind=kind, dictionary=None, directions=["es-en"], **data)
    read, info = checkpoint.load(f"{tmp_path}/imported", kind)
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name
    assert info["directions"] == ["es-en"]
    assert yaml.safe_load((tmp_path / "exported" / "config.yaml").read_text())["prepend_tgt_lang_tag_as_bos"] == (
        kind == "s2ut"
    )


def test_what_fairseq_has_no_form_of_is_told_before_anything_is_written(tmp_path):
    settings = {"num_units": 20, "source": {**SIZES, "conv_dim": 16, "deltas": True}, "decoder": SIZES}
    checkpoint.save(f"{tmp_path}/translator", S2ut(build(S2utConfig, settings, "s2ut")))
    with pytest.raises(UserError, match="hears filterbanks without deltas"):
        export(tmp_path)
    assert not (tmp_path / "exported").exists()


def test_mistakes_with_models_that_hear_speech_are_named(tmp_path):
    write_direct(tmp_path, "s2ut")
    export(tmp_path)
    with pytest.raises(UserError, match="dictionary is for a unit_transformer, which needs it"):
        import_exported(tmp_path, kind="s2ut")
    settings = {"kind": "s2ut", "dictionary": None, "data": f"{tmp_path}/exported", "directions": ["es-en"]}
    with pytest.raises(UserError, match="direction 'es-ko': the model does not translate into 'ko'"):
        import_exported(tmp_path, **{**settings, "directions": ["en-hi", "es-ko"]})
    checkpoint.save(f"{tmp_path}/codebook", Codebook(CodebookConfig(30, 4)), {"fingerprint": "mfcc-0-0-abc"})
    with pytest.raises(UserError, match="gives 20 units, but the codebook has 30"):
        import_exported(tmp_path, **settings)
    with pytest.raises(UserError, match="data is for an s2ut; remove it from a s2spect"):
        import_exported(tmp_path, **{**settings, "kind": "s2spect"})


def test_mistakes_are_named(tmp_path):
    write_translator(tmp_path, merges=((1, 2),))
    with pytest.raises(UserError, match="translator reads byte-pair merges"):
        export(tmp_path)
    write_translator(tmp_path)
    export(tmp_path)
    with pytest.raises(UserError, match=r"name its directions, such as \[en-es\]"):
        import_exported(tmp_path)
    with pytest.raises(UserError, match="no file"):
        import_exported(tmp_path, dictionary=f"{tmp_path}/dict.src.txt")
    with pytest.raises(UserError, match="'en' is no direction"):
        import_exported(tmp_path, directions=["en"])
