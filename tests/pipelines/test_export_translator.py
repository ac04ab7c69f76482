"""pipelines.export_translator, and pipelines.import_translator that reads what it writes."""

import pytest
import torch

from pipelines import export_translator, import_translator
from s2st import checkpoint
from s2st.config import UserError, build
from s2st.models.codebook import Codebook, CodebookConfig
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
