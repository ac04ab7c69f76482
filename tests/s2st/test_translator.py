import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.decoding import UnitHypothesis
from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
from s2st.translator import Translator, pick_source, speak


def test_a_waveform_becomes_units_and_speech(tiny_model, tone):
    translation = Translator.load(tiny_model).translate(tone, to="hi")
    assert len(translation.source_units) > 0
    assert len(translation.waveform) == translation.durations.sum() * 320
    assert len(translation.durations) == len(translation.units)
    assert np.abs(translation.waveform).max() <= 1


def test_a_loop_is_told_with_what_is_spoken(tiny_model):
    voice = Translator.load(tiny_model).voices["hi"]
    hypotheses = [UnitHypothesis(np.array([1, 2] * 4, np.int32), 0.0, not loops, loops) for loops in (True, False)]
    assert [spoken.loops for spoken in speak(voice, "hi", hypotheses, [np.zeros(0, np.int32)] * 2)] == [True, False]


def test_a_batch_translates_as_its_members_do(tiny_model, tone):
    translator = Translator.load(tiny_model)
    waveforms = [tone, tone[:9_000], tone[4_000:15_000]]
    units = translator.units(waveforms)
    together = translator.translate_units(units, ["en"] * 3, "hi")
    for waveform, translation in zip(waveforms, together, strict=True):
        alone = translator.translate(waveform, "hi", "en")
        assert alone.units.tolist() == translation.units.tolist()
        np.testing.assert_allclose(alone.waveform, translation.waveform, atol=1e-4)


@pytest.mark.parametrize(
    ("to", "source", "message"),
    [
        ("ko", None, "does not speak 'ko'; choose one of en, hi"),
        ("hi", "ko", "does not translate 'ko' to 'hi'"),
        ("hi", "hi", "does not translate 'hi' to 'hi'"),
    ],
)
def test_unknown_directions_are_refused(to, source, message):
    with pytest.raises(UserError, match=message):
        pick_source(["en-hi", "hi-en"], {"en", "hi"}, to, source)


def test_the_source_is_asked_for_when_there_are_several():
    with pytest.raises(UserError, match="say which one is spoken"):
        pick_source(["en-hi", "ko-hi"], {"hi"}, "hi", None)


def test_parts_of_other_units_are_refused_by_name(tiny_model, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    info = {"units": "mfcc-0-other", "speakers": ["a"], "languages": ["hi"], "default_speakers": {"hi": "a"}}
    checkpoint.save(f"{folder}/vocoders/hi", UnitVocos(UnitVocosConfig(num_units=20, channels=16, num_blocks=1)), info)
    with pytest.raises(UserError, match="vocoders/hi was trained on units mfcc-0-other, but"):
        Translator.load(str(folder))


def run_cli(*arguments):
    command = [sys.executable, "-m", "s2st", "translate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_command_line(tiny_model, tone, tmp_path):
    soundfile.write(tmp_path / "in.wav", np.stack([tone, tone], axis=1), 16_000)
    done = run_cli(tmp_path / "in.wav", "--to", "hi", "-o", tmp_path / "out.wav", "--model", tiny_model)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "out.wav").samplerate == 16_000


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("none.wav", [], "cannot read"),
        ("text.wav", [], "cannot be decoded"),
        ("in.wav", ["--model", "nowhere"], "there is no model in nowhere"),
        ("in.wav", ["--to", "ko"], "does not speak 'ko'"),
    ],
)
def test_mistakes_at_the_command_line_end_in_one_sentence(tiny_model, tone, tmp_path, name, options, message):
    soundfile.write(tmp_path / "in.wav", tone, 16_000)
    (tmp_path / "text.wav").write_text("hello")
    done = run_cli(tmp_path / name, "--to", "hi", "-o", tmp_path / "out.wav", "--model", tiny_model, *options)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_loading_runs_no_pickle(tiny_model, monkeypatch):
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a model folder must not be unpickled"))
    Translator.load(tiny_model)
