"""The unit language model against fairseq's: same random weights, same logits, loss and gradients."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.models.unit_transformer import pad_tokens
from s2st.units import PAD

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.criterions.cross_entropy import CrossEntropyCriterion
from fairseq.data import Dictionary
from fairseq.data.monolingual_dataset import collate
from fairseq.models.transformer_lm import TransformerLanguageModel, base_lm_architecture, transformer_lm_big

NUM_UNITS = 30
SIZES = {
    "decoder_layers": 2,
    "decoder_embed_dim": 32,
    "decoder_ffn_embed_dim": 64,
    "decoder_attention_heads": 4,
}


def dictionary() -> Dictionary:
    symbols = Dictionary()
    for unit in range(NUM_UNITS):
        symbols.add_symbol(str(unit))
    return symbols


@pytest.fixture
def theirs(randomize) -> TransformerLanguageModel:
    arguments = Namespace(
        **SIZES,
        share_decoder_input_output_embed=True,
        dropout=0.0,
        tokens_per_sample=100,
        decoder_layers_to_keep=None,
        max_target_positions=None,
        offload_activations=False,
        tie_adaptive_weights=False,
        adaptive_softmax_dropout=0.0,
        adaptive_softmax_factor=4.0,
    )
    base_lm_architecture(arguments)
    symbols = dictionary()
    model = TransformerLanguageModel.build_model(
        arguments, Namespace(source_dictionary=symbols, target_dictionary=symbols)
    )
    randomize(model)
    model.decoder.embed_tokens.weight.data[PAD] = 0.0
    return model


def ours_of(theirs: TransformerLanguageModel) -> UnitLm:
    sizes = {"num_layers": 2, "model_dim": 32, "ffn_dim": 64, "num_heads": 4}
    config = UnitLmConfig(**sizes, num_units=NUM_UNITS, dropout=0.0, attention_dropout=0.0, max_positions=100)
    ours = UnitLm(config)
    unused = ("output_projection", "version", "embed_positions")
    weights = {
        name.removeprefix("decoder."): weight
        for name, weight in theirs.state_dict().items()
        if not any(part in name for part in unused)
    }
    names = {name: name if name.startswith("embed_tokens") else f"decoder.{name}" for name in weights}
    ours.load_state_dict({f"decoder.{names[name]}": weight for name, weight in weights.items()})
    return ours


def test_same_logits_loss_and_gradients(theirs):
    """Of samples as --sample-break-mode eos makes them: the end of the utterance before, and each with its own end."""
    ours, symbols = ours_of(theirs), dictionary()
    assert ours.vocabulary.size == len(symbols)
    units = [np.arange(n) * 7 % NUM_UNITS for n in (12, 5, 9)]
    lines = [symbols.encode_line(" ".join(map(str, row)), add_if_not_exist=False).long() for row in units]
    samples = [{"id": i, "source": torch.cat([line[-1:], line[:-1]]), "target": line} for i, line in enumerate(lines)]
    batch = collate(samples, symbols.pad(), symbols.eos())

    tokens, _ = pad_tokens([ours.vocabulary.target_tokens(row, "") for row in units])
    labels = tokens[:, 1:]
    torch.testing.assert_close(labels, batch["target"])
    read = labels != PAD
    torch.testing.assert_close(tokens[:, :-1][read], batch["net_input"]["src_tokens"][read])

    their_logits, _ = theirs(**batch["net_input"])
    our_logits = ours(tokens)
    torch.testing.assert_close(our_logits[read], their_logits[read], rtol=1e-5, atol=1e-5)

    criterion = CrossEntropyCriterion(Namespace(target_dictionary=symbols), sentence_avg=False)
    their_sum, num_tokens, _ = criterion(theirs, batch)
    our_loss, metrics = ours.loss(our_logits, tokens)
    assert metrics["tokens"] == num_tokens
    torch.testing.assert_close(our_loss, their_sum / num_tokens, rtol=1e-5, atol=1e-5)

    (their_sum / num_tokens).backward()
    our_loss.backward()
    their_gradients = dict(theirs.decoder.named_parameters())
    for name, weight in ours.decoder.named_parameters():
        expected = their_gradients[name.removeprefix("decoder.")].grad
        torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5, msg=name)


def test_the_sizes_as_made_are_those_of_transformer_lm_big():
    arguments = Namespace()
    transformer_lm_big(arguments)
    config = UnitLmConfig()
    assert (config.num_layers, config.model_dim) == (arguments.decoder_layers, arguments.decoder_embed_dim)
    assert (config.ffn_dim, config.num_heads) == (arguments.decoder_ffn_embed_dim, arguments.decoder_attention_heads)
    assert config.pre_ln == arguments.decoder_normalize_before
    assert config.activation == arguments.activation_fn
