"""Weights of fairseq's models under our names."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

HUBERT_NAMES = (
    (r"feature_extractor\.conv_layers\.(\d+)\.0\.weight", r"convolutions.\1.weight"),
    (r"feature_extractor\.conv_layers\.(\d+)\.2\.(1\.)?(weight|bias)", r"convolutions.\1.norm.\3"),
    (r"encoder\.pos_conv\.0", "positional"),
    (r"encoder\.layer_norm", "encoder_norm"),
    (r"encoder\.layers", "layers"),
    (r"^layer_norm", "feature_norm"),
    (r"post_extract_proj", "feature_projection"),
    (r"self_attn_layer_norm", "attention_norm"),
    (r"final_layer_norm", "output_norm"),
    (r"self_attn\.q_proj", "attention.query"),
    (r"self_attn\.k_proj", "attention.key"),
    (r"self_attn\.v_proj", "attention.value"),
    (r"self_attn\.out_proj", "attention.output"),
    (r"\.fc1\.", ".expand."),
    (r"\.fc2\.", ".contract."),
    (r"mask_emb", "mask_embedding"),
    (r"final_proj", "final_projection"),
    (r"label_embs_concat", "label_embeddings"),
)


def hubert_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of fairseq's HubertModel as our Hubert does."""
    return renamed(state, HUBERT_NAMES)


def renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """Replace in each name every pattern (a regular expression), one after the other."""
    result = {}
    for name, value in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        result[name] = value
    return result
