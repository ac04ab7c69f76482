import json
import sys

import pytest

from s2st import __main__ as command
from s2st import audio, checkpoint
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig


@pytest.fixture
def score(tmp_path, monkeypatch, tone):
    """A function that runs the command on a folder with one of two recordings; its judge hears "a" in all."""
    model = HubertCtc(HubertCtcConfig(("a", " "), EncoderConfig(width=32, num_layers=1, num_heads=2, ffn_dim=32)))
    model.output.weight.data.zero_()
    model.output.bias.data[4] = 5.0
    checkpoint.save(f"{tmp_path}/judge", model, {"labels": "letters", "languages": ["en"]})
    (tmp_path / "u1.wav").write_bytes(audio.encode(tone, "WAV"))
    (tmp_path / "refs.tsv").write_text("id\ttext\nu1\tA\nu2\tA\n")
    given = ["score", str(tmp_path), "--references", f"{tmp_path}/refs.tsv"]

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["s2st", *given, *arguments])
        command.main()

    return run


def test_a_folder_is_scored(score, tmp_path, capsys):
    score("--lang", "en", "--recognizer", f"{tmp_path}/judge", "--protocol", "seamless")
    shown = capsys.readouterr()
    scores = json.loads(shown.out)
    assert (scores["word_error_rate"], scores["missing"]) == (0.5, 1)
    assert "|protocol:seamless|norm:whisper_english|" in scores["bleu_signature"]
    assert shown.err.rstrip().endswith("of 2 files 1 missing")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lang", "en"], "the protocol 'plain' does not say what hears 'en'; name a recognizer"),
        (["--lang", "hi", "--recognizer", "moonshine-voice"], "moonshine-voice hears en and not 'hi'"),
        (["--lang", "en", "--recordings", "nowhere"], "nowhere has no file named after an id"),
    ],
)
def test_a_mistake_gets_one_sentence(score, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        score(*arguments)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
