"""fairseq's S2UT checkpoints, read and written."""

import re
from collections.abc import Mapping

from torch import Tensor

from s2st.models.foreign import renamed

SOURCE_NAMES = (
    (r"^encoder\.subsample\.conv_layers", "source.convolutions"),
    (r"^encoder\.transformer_layers", "source.encoder.layers"),
    (r"^encoder\.layer_norm", "source.encoder.layer_norm"),
)
S2UT_NAMES = (
    *SOURCE_NAMES,
    (r"^decoder\.(layers|layer_norm)", r"decoder.decoder.\1"),
    (r"^decoder\.(embed_tokens\.)?project_in_dim", "decoder.project_in"),
    (r"^decoder\.out_proj_n_frames", "decoder.project_out"),
    (r"^(\w+)_decoder\.proj\.", r"tasks.\1.proj."),
    (r"^(\w+)_decoder\.embed_tokens", r"tasks.\1.decoder.embed_tokens"),
    (r"^(\w+)_decoder\.(layers|layer_norm)", r"tasks.\1.decoder.decoder.\2"),
)
UNUSED = re.compile(r"(\.output_projection\.weight|\.version|\.embed_positions\._float_tensor)$")


def s2ut_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the weights of fairseq's S2UTTransformerModel as our S2ut does; tied and constant ones are left out."""
    return renamed({name: value for name, value in state.items() if not UNUSED.search(name)}, S2UT_NAMES)
