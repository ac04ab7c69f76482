"""HubertCtc against fairseq's own HubertCtc and CTC criterion, tiny and random."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from s2st.fairseq.checkpoints import hubert_weights
from s2st.models.hubert_ctc import BLANK, NUM_SPECIALS, HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig

hubert_asr = pytest.importorskip("fairseq.models.hubert.hubert_asr")
omegaconf = pytest.importorskip("omegaconf")

TINY = {
    "conv_feature_layers": "[(32, 10, 5)] + [(32, 3, 2)] * 2 + [(24,2,2)]",
    "encoder_layers": 2,
    "encoder_embed_dim": 48,
    "encoder_ffn_embed_dim": 96,
    "encoder_attention_heads": 4,
    "conv_pos": 8,
    "conv_pos_groups": 4,
    "final_dim": 16,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "dropout_input": 0.0,
}
LARGE = {"extractor_mode": "layer_norm", "layer_norm_first": True}
LETTERS = "|ETAONI"


def build_reference(style: dict[str, Any], dictionary: Any) -> Any:
    """Make fairseq's model; it learns the convolutions, too."""
    from fairseq.models.hubert.hubert import HubertConfig
    from fairseq.tasks.hubert_pretraining import HubertPretrainingConfig, HubertPretrainingTask

    encoder = omegaconf.OmegaConf.structured(HubertConfig(**{**TINY, **style}, label_rate=50))
    task_config = HubertPretrainingConfig(data=".", labels=["ltr"], label_rate=-1, normalize=style == LARGE)
    task_config.fine_tuning = True
    task = HubertPretrainingTask(task_config)
    task.load_state_dict({"dictionaries": [dictionary], "target_dictionary": dictionary})
    w2v_args = {"model": {**encoder, "_name": "hubert", "label_rate": 50}, "task": {**vars(task_config)}}
    w2v_args["task"]["_name"] = "hubert_pretraining"
    config = omegaconf.OmegaConf.create(
        {
            **vars(hubert_asr.HubertCtcConfig(w2v_path="", feature_grad_mult=1.0)),
            "normalize": style == LARGE,
            "data": ".",
            "w2v_args": w2v_args,
            "autoregressive": False,  # it is read, but no field of the config
        }
    )
    return hubert_asr.HubertCtc.build_model(config, task).eval()


def build_ours(style: dict[str, Any], reference: Any) -> HubertCtc:
    """Make our model with the weights of theirs."""
    encoder = EncoderConfig(
        conv_layers=((32, 10, 5), (32, 3, 2), (32, 3, 2), (24, 2, 2)),
        conv_norm="layer" if style else "group",
        width=48,
        num_layers=2,
        num_heads=4,
        ffn_dim=96,
        pre_ln=bool(style),
        positional_kernel=8,
        positional_groups=4,
        feature_grad_mult=1.0,
        normalize_waveform=bool(style),
        dropout=0.0,
        attention_dropout=0.0,
        layer_drop=0.0,
    )
    model = HubertCtc(HubertCtcConfig(tuple(LETTERS), encoder)).eval()
    model.load_state_dict(renamed(reference.state_dict()))
    return model


def renamed(values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Name fairseq's weights, or their gradients, as ours."""
    prefix = "w2v_encoder.w2v_model."
    inner = hubert_weights({name.removeprefix(prefix): value for name, value in values.items() if prefix in name})
    inner.pop("label_embeddings", None)  # of the pre-training, and never used again
    named = {name if name == "mask_embedding" else f"encoder.{name}": value for name, value in inner.items()}
    outer = {f"output.{part}": values[f"w2v_encoder.proj.{part}"] for part in ("weight", "bias")}
    return named | outer


@pytest.mark.parametrize("style", [{}, LARGE], ids=["base", "large"])
def test_scores_loss_and_gradients(style, randomize) -> None:
    from fairseq.criterions.ctc import CtcCriterion, CtcCriterionConfig
    from fairseq.data import Dictionary

    dictionary = Dictionary()
    for letter in LETTERS:
        dictionary.add_symbol(letter)
    assert (dictionary.bos(), dictionary.index("|")) == (BLANK, NUM_SPECIALS)
    reference = build_reference(style, dictionary)
    randomize(reference)
    model = build_ours(style, reference)

    waveform = torch.randn(3, 3001) * 0.1 + 0.02
    given = torch.nn.functional.layer_norm(waveform, waveform.shape[1:]) if style else waveform
    lengths = torch.full((3,), 3001)
    labels = torch.tensor([[4, 5, 5, 6], [7, 8, 9, 10], [10, 4, 1, 1]])
    label_lengths = torch.tensor([4, 4, 2])

    expected = reference(source=given, padding_mask=torch.zeros(3, 3001, dtype=torch.bool))
    logits, frames = model(waveform, lengths)
    torch.testing.assert_close(logits, expected["encoder_out"].transpose(0, 1), atol=2e-5, rtol=1e-5)
    assert frames.tolist() == [logits.shape[1]] * 3

    criterion = CtcCriterion(
        CtcCriterionConfig(zero_infinity=True, sentence_avg=True),
        SimpleNamespace(target_dictionary=dictionary, blank_symbol="<s>"),
    )
    reference.train()  # the criterion then leaves out its error rates; nothing here drops out or is masked
    sample = {
        "id": torch.arange(3),
        "net_input": {"source": given, "padding_mask": torch.zeros(3, 3001, dtype=torch.bool)},
        "target": labels,
        "target_lengths": label_lengths,
        "ntokens": 10,
    }
    summed, sentences, _ = criterion(reference, sample)
    loss = model.loss(waveform, lengths, labels, label_lengths)
    torch.testing.assert_close(loss, summed / sentences, rtol=1e-5, atol=1e-5)

    loss.backward()
    (summed / sentences).backward()
    gradients = renamed({name: p.grad for name, p in reference.named_parameters() if p.grad is not None})
    assert set(gradients) == {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    for name, parameter in model.named_parameters():
        if name in gradients:
            atol = 1e-5 + 1e-4 * float(gradients[name].abs().max())
            torch.testing.assert_close(parameter.grad, gradients[name], atol=atol, rtol=1e-4, msg=name)
