"""Models with CTC of transformers, tiny and with random weights, saved as transformers saves them."""

import json

import numpy as np
import pytest
import torch

from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.interop import ctc
from s2st.interop.speech_models import SpeechModelConfig, check_speech_model, load_speech_model, version_of

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=["layer", "group"])
def folder(request, tmp_path_factory):
    """The folder of a wav2vec 2.0 with one of the two norms of its convolutions; it writes ten letters."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp(f"ctc-{request.param}")
    vocabulary = {"<pad>": 0, "|": 1, **{letter: 2 + number for number, letter in enumerate("abcdefghij")}}
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    convolutions = {"conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (20, 16)}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    config = transformers.Wav2Vec2Config(
        vocab_size=len(vocabulary),
        feat_extract_norm=request.param,
        pad_token_id=0,
        **sizes,
        **convolutions,
        **positions,
    )
    model = transformers.Wav2Vec2ForCTC(config)
    torch.nn.init.normal_(model.lm_head.weight, std=2.0)
    model.save_pretrained(path)
    with_mask = request.param == "layer"
    transformers.Wav2Vec2FeatureExtractor(return_attention_mask=with_mask).save_pretrained(path)
    transformers.Wav2Vec2CTCTokenizer(str(path / "vocab.json"), unk_token="<pad>").save_pretrained(path)
    return path


def test_a_batch_hears_what_each_alone_does(folder, tone):
    judge = load_speech_model(SpeechModelConfig(str(folder), ("en", "hi"), batch_size=3), "cpu")["hi"]
    noise = np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32)
    waveforms = [tone, noise, np.zeros(100, np.float32), noise[:5000], noise[3000:20_000]]
    heard = judge.transcribe(waveforms)
    assert heard == [judge.transcribe([waveform])[0] for waveform in waveforms]
    assert heard[2] == ""
    assert len(heard[1]) > 20
    assert set("".join(heard)) <= set("abcdefghij ")
    assert judge.transcribe([]) == []


def test_the_likeliest_path_is_heard(folder):
    noise = np.random.default_rng(0).normal(0, 0.1, 30_000).astype(np.float32)
    model = transformers.Wav2Vec2ForCTC.from_pretrained(folder).eval()
    inputs = transformers.Wav2Vec2FeatureExtractor.from_pretrained(folder)(
        noise, sampling_rate=SAMPLE_RATE, return_tensors="pt"
    )
    with torch.no_grad():
        path = model(inputs.input_values).logits[0].argmax(-1).tolist()
    runs = [symbol for place, symbol in enumerate(path) if place == 0 or symbol != path[place - 1]]
    text = "".join("_|abcdefghij"[symbol] for symbol in runs).replace("_", "").replace("|", " ").strip()
    judge = load_speech_model(SpeechModelConfig(str(folder), ("en",)), "cpu")["en"]
    assert judge.transcribe([noise])[0] == " ".join(text.split())


def test_long_recordings_are_cut(folder, monkeypatch):
    monkeypatch.setattr(ctc, "LONGEST_SECONDS", 1.0)
    judge = load_speech_model(SpeechModelConfig(str(folder), ("en",)), "cpu")["en"]
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * SAMPLE_RATE).astype(np.float32)
    assert judge.transcribe([noise]) == [" ".join(filter(None, judge.transcribe(np.split(noise, 2))))]


def test_the_version_is_that_of_the_weights(folder, tmp_path):
    config = SpeechModelConfig(str(folder), ("en",))
    name, _, weights = version_of(config).partition("@")
    assert name == folder.name
    assert len(weights) == 16
    other = transformers.Wav2Vec2ForCTC.from_pretrained(folder)
    other.lm_head.bias.data += 1
    other.save_pretrained(tmp_path)
    assert version_of(SpeechModelConfig(str(tmp_path), ("en",))).partition("@")[2] != weights


def test_what_cannot_be_a_recognizer_is_told(folder, tmp_path):
    plain = transformers.Wav2Vec2Model(transformers.AutoConfig.from_pretrained(folder))
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(UserError, match="plain is neither a Whisper nor a model with CTC; name another"):
        check_speech_model(SpeechModelConfig(str(tmp_path / "plain"), ("en",)))
    with pytest.raises(UserError, match="transformers cannot read AutoConfig '.*nowhere'"):
        check_speech_model(SpeechModelConfig(str(tmp_path / "nowhere"), ("en",)))
    for file in folder.iterdir():
        if file.suffix == ".json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(transformers.Wav2Vec2ForCTC.from_pretrained(folder).state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="transformers cannot read AutoModelForCTC .*safetensors"):
        load_speech_model(SpeechModelConfig(str(tmp_path), ("en",)), "cpu")
    with pytest.raises(ValueError, match="languages must say what"):
        SpeechModelConfig("x", ())
