import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torchaudio.models import Wav2Vec2Model, wav2vec2_model

from pipelines.import_encoder import STAGE, check, run
from s2st import checkpoint
from s2st.config import UserError, build
from s2st.interop import huggingface_writer
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig
from s2st.speech_to_units import units_info
from stages.stage import Counts, Step

CONVOLUTIONS = [(24, 10, 5), *[(24, 3, 2)] * 4, *[(24, 2, 2)] * 2]


@pytest.fixture
def tiny() -> Wav2Vec2Model:
    torch.manual_seed(0)
    return wav2vec2_model(
        "group_norm", CONVOLUTIONS, False, 32, 0.1, 8, 4, 2, 2, 0.1, 48, 0.1, 0.1, False, 0.05, None
    ).eval()


def write_folder(folder: Path, model: Wav2Vec2Model, **changes: Any) -> None:
    """Write a model of torchaudio as Hugging Face does: its names are the same but for two rooms less."""
    folder.mkdir(exist_ok=True)
    names = {name: name.replace("transformer.", "") for name in model.state_dict()}
    names |= {name: name.removeprefix("encoder.") for name in names if "feature_projection" in name}
    weights = {f"hubert.{names[name]}": value.contiguous() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    config = {
        "model_type": "hubert",
        "num_attention_heads": 2,
        "conv_dim": [channels for channels, _, _ in CONVOLUTIONS],
        "conv_kernel": [kernel for _, kernel, _ in CONVOLUTIONS],
        "conv_stride": [stride for _, _, stride in CONVOLUTIONS],
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))


def step(folder: Path, settings: dict[str, Any]) -> Step:
    return Step("encoder", "pipelines.import_encoder", str(folder), settings, {})


def import_encoder(folder: Path, **settings: Any) -> Counts:
    return run(build(STAGE.config, settings, "encoder"), step(folder, settings))


def test_an_imported_encoder_is_a_checkpoint_with_the_same_features(tmp_path: Path, tiny: Wav2Vec2Model) -> None:
    write_folder(tmp_path / "given", tiny)
    assert import_encoder(tmp_path, huggingface=f"{tmp_path}/given") == Counts(0, 1, unit="encoders")
    encoder, info = checkpoint.load(f"{tmp_path}/encoder", "hubert", "speech_encoder", "cpc")
    assert info == {"architecture": "hubert", "source": f"{tmp_path}/given"}
    assert encoder.config.hop == 320
    waveform = torch.randn(1, 4_000) * 0.1
    with torch.no_grad():
        features, _ = encoder.extract(waveform, torch.tensor([4_000]), 2)
        torch.testing.assert_close(features, tiny.extract_features(waveform)[0][1], atol=2e-5, rtol=1e-5)


def test_exactly_one_origin_is_named() -> None:
    for settings in ({}, {"fairseq": "a.pt", "cpc": "b.pt"}):
        with pytest.raises(UserError, match="give one of fairseq, huggingface, torchaudio, cpc"):
            build(STAGE.config, settings, "encoder")


def test_a_fine_tuned_model_stays_a_recogniser_if_its_languages_are_named(tmp_path: Path, tiny_model: str) -> None:
    encoder = EncoderConfig(width=32, num_layers=1, num_heads=2, ffn_dim=48, conv_layers=((16, 10, 5), (16, 2, 2)))
    for name, symbols in (("letters", ("|", "a")), ("units", ("3", "0", "19"))):
        huggingface_writer.write_encoder(f"{tmp_path}/{name}", HubertCtc(HubertCtcConfig(symbols, encoder)))
    import_encoder(tmp_path, huggingface=f"{tmp_path}/letters")
    assert checkpoint.read_config(f"{tmp_path}/encoder")["model"] == "speech_encoder"
    import_encoder(tmp_path, huggingface=f"{tmp_path}/letters", languages=["en"])
    model, info = checkpoint.load(f"{tmp_path}/encoder", "hubert_ctc")
    assert model.config.symbols == ("|", "a")
    expected = {"architecture": "hubert", "source": f"{tmp_path}/letters"}
    assert info == {**expected, "labels": "letters", "languages": ["en"]}

    settings = {"huggingface": f"{tmp_path}/units", "languages": ["en", "es"]}
    with pytest.raises(UserError, match="this model hears units; name the input 'codebook'"):
        import_encoder(tmp_path, **settings)
    shutil.copytree(f"{tiny_model}/codebook", tmp_path / "codebook")
    with_codebook = replace(step(tmp_path, settings), inputs={"codebook": ["codebook"]})
    run(build(STAGE.config, settings, "encoder"), with_codebook)
    _, info = checkpoint.load(f"{tmp_path}/encoder", "hubert_ctc")
    assert (info["labels"], info["codebook"]) == ("units", units_info(f"{tmp_path}/codebook")[0])
    settings["huggingface"] = f"{tmp_path}/letters"
    with pytest.raises(UserError, match="hears 'a', which is no unit of"):
        run(build(STAGE.config, settings, "encoder"), with_codebook)
    with pytest.raises(UserError, match="name its languages, too"):
        check(build(STAGE.config, {"huggingface": f"{tmp_path}/units"}, "encoder"), with_codebook)
    with pytest.raises(UserError, match="languages are of models of fairseq or huggingface, but cpc is given"):
        build(STAGE.config, {"cpc": "a.pt", "languages": ["en"]}, "encoder")


def test_folders_without_an_encoder_are_refused(tmp_path: Path, tiny: Wav2Vec2Model) -> None:
    given = tmp_path / "given"
    with pytest.raises(UserError, match=r"has no config\.json"):
        import_encoder(tmp_path, huggingface=str(given))
    for changes, message in (
        ({"model_type": "wavlm"}, "holds a 'wavlm'"),
        ({"hidden_act": "relu"}, "has hidden_act=relu, but encoders here have gelu"),
        ({"num_attention_heads": 5}, "width=32 must be a multiple of num_heads=5"),
        ({"conv_dim": [8] * 7}, "does not fit its settings"),
    ):
        write_folder(given, tiny, **changes)
        with pytest.raises(UserError, match=message):
            import_encoder(tmp_path, huggingface=str(given))
    write_folder(given, tiny)
    (given / "preprocessor_config.json").write_text('{"sampling_rate": 8000}')
    with pytest.raises(UserError, match="hears 8000 samples a second"):
        import_encoder(tmp_path, huggingface=str(given))
    (given / "preprocessor_config.json").unlink()
    (given / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read"):
        import_encoder(tmp_path, huggingface=str(given))
    (given / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model\.safetensors and no pytorch_model\.bin"):
        import_encoder(tmp_path, huggingface=str(given))


@pytest.mark.parametrize("kind", ["fairseq", "cpc"])
def test_files_of_other_models_are_refused(tmp_path: Path, kind: str) -> None:
    path = f"{tmp_path}/model.pt"
    with pytest.raises(UserError, match=f"encoder.{kind}: there is no file .*/model.pt; give one that is there"):
        check(build(STAGE.config, {kind: path}, "encoder"), step(tmp_path, {}))
    for name in ("model", "weights"):
        torch.save({name: {"linear.weight": torch.ones(1)}}, path)
        with pytest.raises(UserError, match="known here|has no '"):
            import_encoder(tmp_path, **{kind: path})


def test_an_unknown_bundle_is_told_before_anything_runs(tmp_path: Path) -> None:
    check(build(STAGE.config, {"torchaudio": "HUBERT_BASE"}, "encoder"), step(tmp_path, {}))
    with pytest.raises(UserError, match="torchaudio has no encoder 'HUBERT_BIG' of HuBERT or .*; known: .*HUBERT_BASE"):
        check(build(STAGE.config, {"torchaudio": "HUBERT_BIG"}, "encoder"), step(tmp_path, {}))
