"""Write checkpoints that fairseq itself loads; fairseq is not needed.

`write_content` writes one of any model; HuBERT, pre-trained or fine-tuned by CTC, is put into its words here.

fairseq builds the model from `cfg` and wants every weight of it; its loader reads `optimizer_history` and
`extra_state`, too. All are plain values and tensors, but for the dictionaries, which are objects of fairseq's class.
Source: fairseq/checkpoint_utils.py, fairseq/models/hubert/hubert.py, hubert_asr.py.
"""

import io
from typing import Any

import torch
from torch import Tensor

from s2st import storage
from s2st.audio import SAMPLE_RATE
from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.task_state import PICKLE, written
from s2st.models.foreign import renamed
from s2st.models.hubert import Hubert
from s2st.models.hubert_ctc import HubertCtc, foreign_symbols
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder

NAMES = (
    (r"^layers", "encoder.layers"),
    (r"\.attention_norm", ".self_attn_layer_norm"),
    (r"\.attention\.query", ".self_attn.q_proj"),
    (r"\.attention\.key", ".self_attn.k_proj"),
    (r"\.attention\.value", ".self_attn.v_proj"),
    (r"\.attention\.output", ".self_attn.out_proj"),
    (r"\.output_norm", ".final_layer_norm"),
    (r"\.expand", ".fc1"),
    (r"\.contract", ".fc2"),
    (r"^convolutions\.(\d+)\.(weight|bias)", r"feature_extractor.conv_layers.\1.0.\2"),
    (r"^feature_norm", "layer_norm"),
    (r"^feature_projection", "post_extract_proj"),
    (r"^positional", "encoder.pos_conv.0"),
    (r"^encoder_norm", "encoder.layer_norm"),
    (r"^mask_embedding", "mask_emb"),
    (r"^final_projection", "final_proj"),
    (r"^label_embeddings", "label_embs_concat"),
)
NORM = r"^convolutions\.(\d+)\.norm"


def check_encoder(config: Any, where: str) -> None:
    """Raise UserError, beginning with `where`, for a model that fairseq has no form of."""
    if not hasattr(config, "num_classes") and not hasattr(config, "symbols"):
        raise UserError(
            f"{where} has no heads of HuBERT's pre-training, which fairseq's file must have, and weights that nobody "
            "trained are not made up; write it as huggingface"
        )
    foreign_symbols(getattr(config, "symbols", ()), where)
    encoder = getattr(config, "encoder", config)
    if encoder.conv_layers[-1][0] == encoder.width:
        raise UserError(
            f"{where} has convolutions as wide as its Transformer ({encoder.width}), where fairseq leaves out the "
            "projection between them; write it as huggingface"
        )


def write_encoder(address: str, model: Hubert | HubertCtc) -> None:
    """Write a model, float32, into a file (.pt) that fairseq's load_model_ensemble_and_task takes.

    Label k of a Hubert is row k + 4 of label_embs_concat and the symbol "k" of the dictionary. The space among the
    letters of a HubertCtc becomes fairseq's `|`. Raises UserError as `check_encoder`.
    """
    check_encoder(model.config, address)
    write_content(address, _fine_tuned(model) if isinstance(model, HubertCtc) else _pretrained(model))


def write_content(address: str, content: dict[str, Any]) -> None:
    """Write settings ("cfg"), weights ("model") and "task_state" with what else fairseq's loader reads, into a file."""
    history: dict[str, Any] = {"criterion_name": None, "optimizer_name": "FairseqAdam", "lr_scheduler_state": {}}
    begin = {"epoch": 1, "iterations_in_epoch": 0}
    file = io.BytesIO()
    torch.save(
        {
            "args": None,
            "optimizer_history": [history],
            "last_optimizer_state": None,
            "extra_state": {"train_iterator": begin},
            **content,
        },
        file,
        pickle_module=PICKLE,
    )
    storage.write_bytes(address, file.getvalue())


def stored(value: Tensor) -> Tensor:
    """Make a weight what a file holds: float32, on the CPU, without gaps."""
    return value.detach().float().cpu().contiguous()


def _pretrained(model: Hubert) -> dict[str, Any]:
    config = model.config
    settings = {
        **encoder_settings(config),
        "final_dim": config.final_dim,
        "untie_final_proj": True,
        "logit_temp": config.logit_temperature,
        "mask_prob": config.mask_probability,
        "mask_length": config.mask_length,
        "label_rate": float(config.label_rate),
    }
    task = _task(config, ["km"], float(config.label_rate))
    return {
        "cfg": {"model": settings, "task": task},
        "model": _weights(model, dict(model.state_dict())),
        "task_state": {"dictionaries": [written(Dictionary.by_number(config.num_classes))]},
    }


def _fine_tuned(model: HubertCtc) -> dict[str, Any]:
    """Fill in w2v_args, so that fairseq looks for no file of the pre-trained model.

    From w2v_args it builds a pre-trained model, for which it wants `dictionaries`; [None] is without labels.
    """
    config, encoder = model.config, model.encoder.config
    outer = {
        "_name": "hubert_ctc",
        "w2v_path": "",
        "encoder_embed_dim": encoder.width,
        "normalize": encoder.normalize_waveform,
        "data": ".",
        "apply_mask": config.mask_probability > 0 or config.channel_mask_probability > 0,
        "final_dropout": config.final_dropout,
        "layerdrop": encoder.layer_drop,
        "autoregressive": False,  # of sequence-to-sequence models, but asked for
    }
    masks = {
        "mask_prob": config.mask_probability,
        "mask_length": config.mask_length,
        "mask_channel_prob": config.channel_mask_probability,
        "mask_channel_length": config.channel_mask_length,
    }
    inner = {**encoder_settings(encoder), **masks, "final_dim": encoder.width, "label_rate": -1.0}
    dropouts = ("dropout", "attention_dropout", "activation_dropout", "dropout_input", "feature_grad_mult")
    settings = {**outer, **masks, **{name: inner[name] for name in dropouts}}
    task = _task(encoder, ["ltr"], -1.0)
    settings["w2v_args"] = {"model": inner, "task": task}
    weights = _weights(model.encoder, {**model.encoder.state_dict(), "mask_embedding": model.mask_embedding})
    weights = {f"w2v_encoder.w2v_model.{name}": value for name, value in weights.items()}
    for name, value in model.output.state_dict().items():
        weights[f"w2v_encoder.proj.{name}"] = stored(value)
    symbols = foreign_symbols(config.symbols, "the model")
    return {
        "cfg": {"model": settings, "task": {**task, "fine_tuning": True}},
        "model": weights,
        "task_state": {"target_dictionary": written(Dictionary.of(symbols)), "dictionaries": [None]},
    }


def encoder_settings(config: EncoderConfig) -> dict[str, Any]:
    """Say what an encoder is like in the words of fairseq's HubertConfig, most of which Wav2Vec2Config shares."""
    return {
        "_name": "hubert",
        "conv_feature_layers": str([tuple(layer) for layer in config.conv_layers]),
        "extractor_mode": "layer_norm" if config.conv_norm == "layer" else "default",
        "conv_bias": config.conv_bias,
        "encoder_embed_dim": config.width,
        "encoder_layers": config.num_layers,
        "encoder_attention_heads": config.num_heads,
        "encoder_ffn_embed_dim": config.ffn_dim,
        "layer_norm_first": config.pre_ln,
        "conv_pos": config.positional_kernel,
        "conv_pos_groups": config.positional_groups,
        "dropout": config.dropout,
        "dropout_input": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "encoder_layerdrop": config.layer_drop,
        "feature_grad_mult": config.feature_grad_mult,
    }


def _task(config: EncoderConfig, labels: list[str], label_rate: float) -> dict[str, Any]:
    return {
        "_name": "hubert_pretraining",
        "data": ".",
        "labels": labels,
        "label_rate": label_rate,
        "sample_rate": SAMPLE_RATE,
        "normalize": config.normalize_waveform,
    }


def _weights(model: SpeechEncoder, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name weights as fairseq does, with the bias of the first convolution that GroupNorm takes out again."""
    layered = model.config.conv_norm == "layer"
    if model.config.conv_bias and not layered:
        state["convolutions.0.bias"] = torch.zeros(model.config.conv_layers[0][0])
    norm = (NORM, r"feature_extractor.conv_layers.\1.2.1" if layered else r"feature_extractor.conv_layers.\1.2")
    return {name: stored(value) for name, value in renamed(state, (norm, *NAMES)).items()}
