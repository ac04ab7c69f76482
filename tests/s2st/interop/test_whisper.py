"""Whisper with random weights, tiny, saved as transformers saves it."""

import numpy as np
import pytest
import torch

from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.interop.whisper import Whisper, WhisperConfig, load_whisper

transformers = pytest.importorskip("transformers")
SPECIALS = ("<|startoftranscript|>", "<|en|>", "<|hi|>", "<|transcribe|>", "<|translate|>", "<|notimestamps|>")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of a Whisper that writes ten letters, and knows English and Hindi."""
    torch.manual_seed(0)
    vocabulary = {letter: number for number, letter in enumerate("abcdefghij")} | {"<|endoftext|>": 10}
    tokenizer = transformers.WhisperTokenizer(vocab=vocabulary, merges=[], extra_special_tokens=list(SPECIALS))
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIALS}
    sizes = dict.fromkeys(("encoder_layers", "decoder_layers"), 1) | {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 2)
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer), d_model=16, init_std=0.5, **sizes, **heads, bos_token_id=10, eos_token_id=10
    )
    config.pad_token_id, config.decoder_start_token_id = 10, ids["<|startoftranscript|>"]
    model = transformers.WhisperForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(
        lang_to_id={token: ids[token] for token in ("<|en|>", "<|hi|>")},
        task_to_id={task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        is_multilingual=True,
        suppress_tokens=list(ids.values()),
        max_length=24,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 10),
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    path = str(tmp_path_factory.mktemp("whisper"))
    model.save_pretrained(path)
    transformers.WhisperProcessor(transformers.WhisperFeatureExtractor(), tokenizer).save_pretrained(path)
    return path


def prompts(whisper):
    """Keep the first tokens that the decoder is given, by each call."""
    given = []
    whisper.model.model.decoder.register_forward_pre_hook(
        lambda module, positional, named: given.append(named["input_ids"][0].tolist()), with_kwargs=True
    )
    return given


def test_a_batch_hears_what_each_alone_does(folder, tone):
    whisper = load_whisper(WhisperConfig(folder, batch_size=2), ["hi"], "cpu")["hi"]
    noise = np.random.default_rng(0).normal(0, 0.1, 40_000).astype(np.float32)
    waveforms = [tone, noise, np.zeros(100, np.float32), tone[:5000]]
    heard = whisper.transcribe(waveforms)
    assert heard == [whisper.transcribe([waveform])[0] for waveform in waveforms]
    assert heard[2] == ""
    assert set(heard[0]) <= set("abcdefghij")
    assert heard[0]
    assert whisper.transcribe([]) == []


def test_the_language_that_is_spoken_is_told(folder, tone):
    by_language = load_whisper(WhisperConfig(folder), ["en", "hi"], "cpu")
    ids = by_language["en"].processor.tokenizer.convert_tokens_to_ids
    for lang, whisper in by_language.items():
        given = prompts(whisper)
        whisper.transcribe([tone])
        assert given[0] == [ids(name) for name in (SPECIALS[0], f"<|{lang}|>", "<|transcribe|>", "<|notimestamps|>")]


def test_long_recordings_are_cut(folder):
    whisper = load_whisper(WhisperConfig(folder), ["en"], "cpu")["en"]
    noise = np.random.default_rng(0).normal(0, 0.1, 40 * SAMPLE_RATE).astype(np.float32)
    halves = whisper.transcribe(np.split(noise, 2))
    assert whisper.transcribe([noise]) == [" ".join(filter(None, halves))]


def test_what_cannot_be_heard_or_read_is_told(folder, tmp_path):
    with pytest.raises(UserError, match="does not hear 'ko'; name another model"):
        load_whisper(WhisperConfig(folder), ["ko"], "cpu")
    whisper = load_whisper(WhisperConfig(folder), ["en"], "cpu")["en"]
    whisper.model.generation_config.is_multilingual = False
    with pytest.raises(UserError, match="hears English only, and not 'hi'; name a model of many languages"):
        Whisper(whisper.model, whisper.processor, whisper.config, "hi")
    assert Whisper(whisper.model, whisper.processor, whisper.config, "en").told == {}
    with pytest.raises(
        UserError, match="transformers cannot read WhisperForConditionalGeneration '.*' from this folder"
    ):
        load_whisper(WhisperConfig(str(tmp_path)), ["en"], "cpu")
    with pytest.raises(ValueError, match="beam and batch_size must be at least 1"):
        WhisperConfig(folder, beam=0)


def test_pickled_weights_are_refused(folder, tmp_path):
    model = transformers.WhisperForConditionalGeneration.from_pretrained(folder)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="transformers cannot read WhisperForConditionalGeneration .*safetensors"):
        load_whisper(WhisperConfig(str(tmp_path)), ["en"], "cpu")
