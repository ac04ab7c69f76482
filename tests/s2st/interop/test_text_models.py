"""Translators of text, tiny: they learn two sentences, are saved as transformers saves them, and say them again."""

import json

import pytest
import torch

from s2st.config import UserError
from s2st.interop.text_models import TextModelConfig, TextModels

transformers = pytest.importorskip("transformers")
SIZES = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
HEADS = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "dropout": 0.0, "attention_dropout": 0.0}
ENGLISH, HINDI = ["good day", "hot tea now"], ["नमस्ते", "अब गरम चाय"]


def learn(model, tokenizer, sources, targets):
    """Train a model on a few sentences until it knows them."""
    tokens = tokenizer(sources, text_target=targets, return_tensors="pt", padding=True)
    tokens["labels"] = tokens["labels"].masked_fill(tokens["labels"] == tokenizer.pad_token_id, -100)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        loss = model(**tokens).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    """The folder of an NLLB of letters that knows English to Hindi."""
    torch.manual_seed(0)
    letters = sorted({*"▁", *"".join(ENGLISH + HINDI).replace(" ", "")})
    vocabulary = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", *letters])}
    tokenizer = transformers.NllbTokenizer(vocab=vocabulary, merges=[], src_lang="eng_Latn", tgt_lang="hin_Deva")
    model = transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(vocab_size=len(tokenizer), max_position_embeddings=64, **SIZES, **HEADS)
    )
    learn(model, tokenizer, ENGLISH, HINDI)
    path = str(tmp_path_factory.mktemp("nllb"))
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """The folder of a Marian that knows English to Hindi."""
    import sentencepiece

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("marian")
    pieces = []
    for name, texts in (("source", ENGLISH), ("target", HINDI)):
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(path / name),
            model_type="char",
            vocab_size=24,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        (path / f"{name}.model").rename(path / f"{name}.spm")
        spm = sentencepiece.SentencePieceProcessor(str(path / f"{name}.spm"))
        pieces += [spm.id_to_piece(number) for number in range(3, len(spm))]
    tokens = ["</s>", "<unk>", *dict.fromkeys(pieces), "<pad>"]
    (path / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    files = {"source_spm": str(path / "source.spm"), "target_spm": str(path / "target.spm")}
    tokenizer = transformers.MarianTokenizer(vocab=str(path / "vocab.json"), **files)
    pad = len(tokens) - 1
    model = transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=len(tokens),
            pad_token_id=pad,
            decoder_start_token_id=pad,
            eos_token_id=0,
            forced_eos_token_id=0,
            max_position_embeddings=64,
            **SIZES,
            **HEADS,
        )
    )
    learn(model, tokenizer, ENGLISH, HINDI)
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def languages_of(name):
    return {"source": "eng_Latn", "target": "hin_Deva"} if name == "nllb" else {}


@pytest.mark.parametrize("name", ["nllb", "marian"])
def test_what_was_learned_is_translated(request, name):
    config = TextModelConfig(request.getfixturevalue(name), batch_size=2, **languages_of(name))
    models = TextModels.load({"en-hi": config}, "cpu")
    assert models.translate([*ENGLISH, ENGLISH[0]], "en", "hi") == [*HINDI, HINDI[0]]
    assert models.translate([], "en", "hi") == []


def test_directions_share_a_model_and_keep_their_languages(nllb):
    configs = {
        "en-hi": TextModelConfig(nllb, source="eng_Latn", target="hin_Deva"),
        "ko-hi": TextModelConfig(nllb, source="kor_Hang", target="hin_Deva"),
    }
    models = TextModels.load(configs, "cpu")
    assert models.by_direction["en-hi"].model is models.by_direction["ko-hi"].model
    models.translate(["x"], "ko", "hi")
    assert models.translate(ENGLISH, "en", "hi") == HINDI


def test_what_cannot_be_translated_or_read_is_told(nllb, tmp_path):
    with pytest.raises(UserError, match="has no language 'hindi'; write it as the model does, such as hin_Deva"):
        TextModels.load({"en-hi": TextModelConfig(nllb, source="eng_Latn", target="hindi")}, "cpu")
    with pytest.raises(UserError, match="transformers cannot read AutoModelForSeq2SeqLM '.*' from this folder"):
        TextModels.load({"en-hi": TextModelConfig(str(tmp_path))}, "cpu")
    with pytest.raises(ValueError, match="source and target are told both, or neither"):
        TextModelConfig(nllb, source="eng_Latn")
