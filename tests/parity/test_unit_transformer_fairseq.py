"""The unit Transformer against fairseq's: same random weights, same logits, loss and gradients."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig, pad_tokens
from s2st.units import PAD

pytest.importorskip("fairseq", reason="fairseq is not installed: pip install s2st[fairseq]")
from fairseq.criterions.label_smoothed_cross_entropy import label_smoothed_nll_loss
from fairseq.data import Dictionary
from fairseq.models.transformer import TransformerModel, base_architecture

NUM_UNITS, LANGUAGES, SMOOTHING = 30, ("en", "hi"), 0.2


def fairseq_model(pre_ln: bool, share: bool, activation: str) -> tuple[TransformerModel, Dictionary]:
    dictionary = Dictionary()
    for symbol in [*map(str, range(NUM_UNITS)), *(f"[{lang}]" for lang in LANGUAGES), "<mask>"]:
        dictionary.add_symbol(symbol)
    arguments = Namespace(
        arch="transformer",
        encoder_embed_dim=32,
        encoder_ffn_embed_dim=64,
        encoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        decoder_layers=2,
        encoder_normalize_before=pre_ln,
        decoder_normalize_before=pre_ln,
        share_decoder_input_output_embed=True,
        share_all_embeddings=share,
        activation_fn=activation,
        max_source_positions=100,
        max_target_positions=100,
        dropout=0.0,
    )
    base_architecture(arguments)
    task = Namespace(source_dictionary=dictionary, target_dictionary=dictionary)
    return TransformerModel.build_model(arguments, task), dictionary


def our_model(theirs: TransformerModel, pre_ln: bool, share: bool, activation: str) -> UnitTransformer:
    config = UnitTransformerConfig(
        num_layers=2,
        model_dim=32,
        num_heads=4,
        ffn_dim=64,
        dropout=0.0,
        activation=activation,
        pre_ln=pre_ln,
        num_units=NUM_UNITS,
        languages=LANGUAGES,
        share_all_embeddings=share,
        label_smoothing=SMOOTHING,
    )
    ours = UnitTransformer(config)
    names = {
        "encoder.embed_tokens.weight": "source_embed_tokens.weight",
        "decoder.embed_tokens.weight": "embed_tokens.weight",
    }
    unused = ("decoder.output_projection.weight", "encoder.version", "decoder.version")
    weights = {names.get(name, name): weight for name, weight in theirs.state_dict().items() if name not in unused}
    ours.load_state_dict({name: weight for name, weight in weights.items() if "embed_positions" not in name})
    return ours


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("pre_ln", [False, True])
def test_same_logits_loss_and_gradients(pre_ln, share, activation):
    torch.manual_seed(0)
    theirs, dictionary = fairseq_model(pre_ln, share, activation)
    ours = our_model(theirs, pre_ln, share, activation)
    vocabulary = ours.vocabulary
    assert vocabulary.size == len(dictionary)
    assert vocabulary.language_symbol("hi") == dictionary.index("[hi]")

    units = [np.arange(n) * 7 % NUM_UNITS for n in (12, 5, 9)]
    source, lengths = pad_tokens([vocabulary.source_tokens(u, "hi") for u in units])
    target, _ = pad_tokens([vocabulary.target_tokens(u[::-1], "en") for u in units])
    labels, true = target[:, 1:], target[:, 1:] != PAD

    their_logits, _ = theirs(source, lengths, target[:, :-1])
    our_logits = ours(source, lengths, target)
    torch.testing.assert_close(our_logits[true], their_logits[true], rtol=1e-5, atol=1e-5)

    log_probabilities = their_logits.log_softmax(2).flatten(0, 1)
    their_sum, their_nll = label_smoothed_nll_loss(log_probabilities, labels.flatten(), SMOOTHING, ignore_index=PAD)
    our_loss, metrics = ours.loss(our_logits, target)
    torch.testing.assert_close(our_loss, their_sum / true.sum(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(metrics["nll"], their_nll.detach() / true.sum(), rtol=1e-5, atol=1e-5)

    (their_sum / true.sum()).backward()
    our_loss.backward()
    for ours_weight, their_weight in [
        (ours.embed_tokens.weight, theirs.decoder.embed_tokens.weight),
        (ours.encoder.layers[0].self_attn.q_proj.weight, theirs.encoder.layers[0].self_attn.q_proj.weight),
        (ours.decoder.layers[0].encoder_attn.k_proj.bias, theirs.decoder.layers[0].encoder_attn.k_proj.bias),
    ]:
        torch.testing.assert_close(ours_weight.grad, their_weight.grad, rtol=1e-4, atol=1e-5)
