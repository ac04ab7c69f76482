"""pipelines.import_vocoder and pipelines.export_vocoder: each reads what the other writes."""

import shutil

import numpy as np
import pytest
import torch

from pipelines import assemble, export_vocoder, import_vocoder
from s2st import checkpoint
from s2st.config import UserError, build
from s2st.fairseq.vocoder_writer import FILE, write_vocoder
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.speech_to_units import units_info
from s2st.translator import Translator, load_voices
from stages.stage import Counts, Step

SIZES = {"num_units": 20, "embedding_dim": 16, "initial_channels": 32}
SPEAKERS = {"num_speakers": 2, "speaker_dim": 16}


@pytest.fixture
def a_run(tmp_path, tiny_model):
    """A run's folder with a codebook of 20 units and a translator of them."""
    for name in ("codebook", "translator"):
        shutil.copytree(f"{tiny_model}/{name}", tmp_path / name)
    return tmp_path


def write(folder, **changes):
    torch.manual_seed(0)
    model = UnitHifigan(UnitHifiganConfig(**SIZES, **changes))
    write_vocoder(f"{folder}/published", model, ["ana", "ravi"])
    return model


def bring_in(folder, name="vocoder", **settings):
    settings = {"fairseq": f"{folder}/published/{FILE}", "languages": ["hi"], **settings}
    step = Step(name, "pipelines.import_vocoder", str(folder), settings, {"codebook": ["codebook"]})
    config = build(import_vocoder.ImportVocoderConfig, settings, name)
    import_vocoder.check(config, step)
    import_vocoder.check_inputs(config, step)
    return import_vocoder.run(config, step)


def export(folder):
    step = Step("exported", "pipelines.export_vocoder", str(folder), {}, {"vocoder": ["vocoder"]})
    export_vocoder.check_inputs(export_vocoder.ExportVocoderConfig(), step)
    return export_vocoder.run(export_vocoder.ExportVocoderConfig(), step)


@pytest.mark.parametrize("changes", [{}, SPEAKERS, {"predict_durations": False}])
def test_what_is_imported_can_be_exported(a_run, changes):
    model, speaker = write(a_run, **changes), 1 if changes == SPEAKERS else None
    assert bring_in(a_run, speaker=speaker) == export(a_run) == Counts(0, 1, unit="vocoders")
    read, info = checkpoint.load(f"{a_run}/vocoder", "unit_hifigan")
    assert read.config == model.config
    for name, value in model.state_dict().items():
        assert torch.equal(read.state_dict()[name], value), name
    assert info == {
        "source": f"{a_run}/published/{FILE}",
        "units": units_info(f"{a_run}/codebook")[0],
        "speakers": ["ana", "ravi"] if speaker else [],
        "languages": ["hi"],
        "default_speakers": {"hi": "ravi"} if speaker else {},
    }
    for name in ("config.json", FILE):
        assert (a_run / "exported" / name).read_bytes() == (a_run / "published" / name).read_bytes()


def assembled(folder):
    inputs = {"codebook": ["codebook"], "translator": ["translator"], "vocoders": ["vocoder"]}
    step = Step("model", "pipelines.assemble", str(folder), {}, inputs)
    assemble.check_inputs(assemble.AssembleConfig(), step)
    assemble.run(assemble.AssembleConfig(), step)
    return step.output


def test_an_imported_voice_speaks_what_is_translated(a_run, tone):
    write(a_run, **SPEAKERS)
    bring_in(a_run, languages=["en", "hi"], speaker=0)
    folder = assembled(a_run)
    translation = Translator.load(folder).translate(tone, to="hi", source="en")
    assert len(translation.waveform) == 320 * translation.durations.sum()
    voices = load_voices(folder, "cpu")
    ((waveform, _),) = voices["hi"].speak([translation.units], "hi")
    np.testing.assert_allclose(waveform, translation.waveform, atol=1e-5)


def test_a_voice_of_full_units_speaks_no_translations(a_run):
    write(a_run, predict_durations=False)
    bring_in(a_run)
    with pytest.raises(UserError, match="/vocoder predicts no durations: it speaks full units"):
        assembled(a_run)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        ({}, {"fairseq": "nowhere/g_00500000"}, "vocoder.fairseq: there is no file nowhere/g_00500000"),
        ({}, {"config": "nowhere/config.json"}, "vocoder.config: there is no file nowhere/config.json"),
        ({}, {"languages": []}, r"name each language that the vocoder speaks once, such as \[en\]"),
        ({}, {"speaker": 0}, "'vocoder': the vocoder has one voice; remove speaker"),
        (SPEAKERS, {}, "'vocoder': the vocoder has 2 voices; give speaker a number below 2"),
        (SPEAKERS, {"speaker": 2}, "'vocoder': the vocoder has 2 voices; give speaker a number below 2"),
    ],
)
def test_mistakes_in_a_section_are_named(a_run, changes, settings, message):
    write(a_run, **changes)
    with pytest.raises(UserError, match=message):
        bring_in(a_run, **settings)
    assert not (a_run / "vocoder").exists()


def test_other_units_are_refused(a_run):
    write(a_run)
    for fingerprint, count, message in (
        ("hubert-9-1-abc", 30, "speaks 20 units, but the codebook has 30; name the codebook of its units"),
        ("mfcc-0-1-abc", 20, "a vocoder speaks units of 20 ms, and those of mfcc have 10 ms"),
    ):
        checkpoint.save(f"{a_run}/codebook", Codebook(CodebookConfig(count, 4)), {"fingerprint": fingerprint})
        with pytest.raises(UserError, match=f"section 'vocoder': .*{message}"):
            bring_in(a_run)


def test_what_fairseq_has_no_form_of_is_told_before_anything_is_written(a_run):
    for model, message in (
        (UnitHifigan(UnitHifiganConfig(**SIZES, cumulative_rounding=True)), "has cumulative_rounding=True"),
        (UnitVocos(UnitVocosConfig(num_units=20, channels=16)), "holds a unit_vocos, but a unit_hifigan is needed"),
    ):
        checkpoint.save(f"{a_run}/vocoder", model, {})
        with pytest.raises(UserError, match=f"/vocoder {message}"):
            export(a_run)
    assert not (a_run / "exported").exists()
