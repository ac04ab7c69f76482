"""Vocoder files: fairseq's generate_waveform_from_code speaks ours, and we speak what fairseq's code saves."""

import json
import sys
from pathlib import Path

import pytest
import soundfile
import torch
from torch.nn.utils import parametrizations

from s2st import storage
from s2st.fairseq.vocoder_writer import FILE, vocoder_settings, write_vocoder
from s2st.fairseq.vocoders import CONFIG, read_vocoder
from s2st.models.unit_hifigan import UnitHifigan, UnitHifiganConfig

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.examples.speech_to_speech import generate_waveform_from_code
from fairseq.models.text_to_speech.codehifigan import CodeGenerator
from fairseq.models.text_to_speech.vocoder import CodeHiFiGANVocoder

SMALL = {"num_units": 20, "embedding_dim": 16, "initial_channels": 64}
CONFIGS = {
    "one voice": UnitHifiganConfig(**SMALL, resblock_kernel_sizes=(3,), resblock_dilations=((1, 2, 4),)),
    "speakers": UnitHifiganConfig(**SMALL, num_speakers=3, speaker_dim=16, duration_hidden_dim=24),
    "full units": UnitHifiganConfig(**SMALL, predict_durations=False),
    "mhubert 1000": UnitHifiganConfig(num_units=1000),
}
SPEAKER = 2
UNITS = [[3, 9, 3, 0, 19, 7], [1], [12, 5, 12, 8]]


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def config(request: pytest.FixtureRequest) -> UnitHifiganConfig:
    return request.param


def louder(ups: torch.nn.ModuleList, gain: str, proj: torch.nn.Linear | None) -> None:
    """As made, the waveform is faint and every duration is one; larger weights make both worth comparing."""
    for module in ups:
        module.get_parameter(gain).data.mul_(4)
    if proj is not None:
        proj.weight.data.mul_(3)
        proj.bias.data.fill_(1.0)


def speak(model: UnitHifigan, units: list[int]) -> torch.Tensor:
    """Speak one sequence as fairseq does: its units are reduced ones where durations are predicted."""
    predicts = model.config.predict_durations
    waveform, _, durations = model.speak(
        torch.tensor([units]),
        torch.tensor([len(units)]),
        durations=None if predicts else torch.ones(1, len(units), dtype=torch.long),
        speaker=torch.tensor([SPEAKER]) if model.config.num_speakers else None,
    )
    assert len(units) == 1 or (durations.max() > 1) == predicts
    return waveform[0]


def test_fairseq_speaks_ours_to_the_same_samples(config, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = UnitHifigan(config).eval()
    predictor = model.duration_predictor
    louder(model.upsamples, "parametrizations.weight.original0", predictor and predictor.proj)
    write_vocoder(str(tmp_path), model, [f"voice {number}" for number in range(config.num_speakers)])
    (tmp_path / "codes.txt").write_text("".join(f"{' '.join(map(str, line))}\n" for line in UNITS))
    options = {"in-code-file": "codes.txt", "vocoder": FILE, "vocoder-cfg": CONFIG, "results-path": "spoken"}
    command = [text for name, value in options.items() for text in (f"--{name}", str(tmp_path / value))]
    command += ["--speaker-id", str(SPEAKER), "--cpu", *(["--dur-prediction"] if config.predict_durations else [])]
    monkeypatch.setattr(sys, "argv", ["generate_waveform_from_code", *command])
    generate_waveform_from_code.cli_main()
    vocoder = CodeHiFiGANVocoder(str(tmp_path / FILE), storage.read_json(str(tmp_path / CONFIG)))
    for number, units in enumerate(UNITS):
        ours = speak(model, units)
        assert ours.std() > 1e-3
        suffix = f"_spk{SPEAKER}" if config.num_speakers else ""
        samples, rate = soundfile.read(tmp_path / "spoken" / f"{number}{suffix}_pred.wav", dtype="float32")
        assert rate == 16_000
        torch.testing.assert_close(ours, torch.from_numpy(samples), atol=1e-4, rtol=0)
        code = {"code": torch.tensor([units]), **({"spkr": torch.tensor([[SPEAKER]])} if config.num_speakers else {})}
        torch.testing.assert_close(ours, vocoder(code, config.predict_durations), atol=1e-5, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("spelling", ["weight_g", "parametrizations"])
def test_we_speak_theirs_to_the_same_samples(config, spelling, tmp_path, monkeypatch):
    if spelling == "parametrizations":  # as code that was brought to newer PyTorch saves
        monkeypatch.setattr("fairseq.models.text_to_speech.hifigan.weight_norm", parametrizations.weight_norm)
    torch.manual_seed(0)
    theirs = CodeGenerator(vocoder_settings(config, ())).eval()
    gain = "weight_g" if spelling == "weight_g" else "parametrizations.weight.original0"
    louder(theirs.ups, gain, theirs.dur_predictor and theirs.dur_predictor.proj)
    torch.save({"generator": theirs.state_dict()}, tmp_path / "g_00500000")
    Path(tmp_path / CONFIG).write_text(json.dumps(vocoder_settings(config, ())))
    ours, speakers = read_vocoder(str(tmp_path / "g_00500000"))
    assert ours.config == config
    assert speakers == [str(number) for number in range(config.num_speakers)]
    for units in UNITS:
        code = {"code": torch.tensor([units]), **({"spkr": torch.tensor([[SPEAKER]])} if config.num_speakers else {})}
        expected = theirs(**code, dur_prediction=config.predict_durations)[0, 0]
        torch.testing.assert_close(speak(ours, units), expected, atol=1e-5, rtol=0)
