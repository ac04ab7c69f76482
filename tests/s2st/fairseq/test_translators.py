import re

import pytest
import torch

from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.translator_writer import write_translator
from s2st.fairseq.translators import read_translator
from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig

SIZES = {"num_layers": 2, "model_dim": 16, "num_heads": 2, "ffn_dim": 16, "num_units": 20}


def changed(folder, change):
    """Write a model as fairseq's, change what the file holds, and read it."""
    torch.manual_seed(0)
    write_translator(str(folder), UnitTransformer(UnitTransformerConfig(**SIZES)))
    content = torch.load(f"{folder}/model.pt", weights_only=False)
    change(content["model"], content["cfg"])
    torch.save(content, f"{folder}/model.pt")
    return read_translator(f"{folder}/model.pt", Dictionary.by_number(20), 20)


def test_what_fairseq_leaves_out_or_adds_changes_nothing(tmp_path):
    def change(weights, cfg):
        del weights["decoder.output_projection.weight"]
        weights["decoder.embed_positions._float_tensor"] = torch.zeros(1)
        del cfg["criterion"]

    assert changed(tmp_path, change).config == UnitTransformerConfig(**SIZES, share_all_embeddings=True)


def drop(name):
    return lambda weights, cfg: weights.pop(name)


def put(name, value):
    return lambda weights, cfg: weights.update({name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("encoder.embed_tokens.weight"), "holds no Transformer from symbols to symbols"),
        (put("encoder.embed_tokens.weight", torch.zeros(24)), "holds no Transformer from symbols to symbols"),
        (put("decoder.output_projection.weight", torch.zeros(24, 16)), "an output apart from its target embedding"),
        (put("decoder.layers.7.fc1.weight", torch.zeros(1)), "has 2 and 3 layers"),
        (lambda weights, cfg: cfg["model"].update(decoder_attention_heads=4), "with 2 and 4 heads"),
        (lambda weights, cfg: cfg["model"].update(activation_fn="swish"), "activation"),
        (drop("encoder.layers.1.fc1.bias"), "encoder.layers.1.fc1.bias are on one side only"),
        (put("encoder.layers.1.fc1.bias", torch.zeros(3)), "does not fit its settings"),
        (put("encoder.lstm", torch.zeros(3)), "is no plain Transformer: encoder.lstm"),
    ],
)
def test_other_models_are_refused(tmp_path, change, message):
    with pytest.raises(UserError, match=f"{re.escape(str(tmp_path))}.*{message}"):
        changed(tmp_path, change)
