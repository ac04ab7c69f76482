"""CPC as the textless examples of fairseq have it (CPC_audio's format), as a model of ours."""

from typing import Any

import torch
from torch import Tensor

from s2st.config import UserError
from s2st.fairseq.unpickle import read, tensors
from s2st.models.cpc import CONVOLUTIONS, Cpc, CpcConfig
from s2st.models.foreign import renamed

NAMES = (
    (r"^gEncoder\.conv(\d+)\.", r"convolutions.\1."),
    (r"^gEncoder\.batchNorm(\d+)\.", r"convolutions.\1.norm_"),
    (r"^gAR\.baseNet\.(\w+)_l(\d+)$", r"layers.\2.\1_l0"),
)


def read_cpc(address: str) -> tuple[Cpc, dict[str, Any]]:
    """Read CPC from a checkpoint that has its weights under "weights", and its info; shapes tell its sizes.

    Raises UserError if the file holds no CPC, or one whose recurrent net is no LSTM.
    """
    weights = read(address).get("weights")
    if not isinstance(weights, dict):
        raise UserError(f"{address} has no 'weights'; give a checkpoint of CPC_audio, such as cpc_big_ll6kh_top_ctc.pt")
    named = renamed(tensors(weights, address), NAMES)
    kept = {name: value.float() for name, value in named.items() if name.startswith(("convolutions.", "layers."))}
    last = f"convolutions.{len(CONVOLUTIONS) - 1}.weight"
    if last not in kept or "layers.0.weight_hh_l0" not in kept:
        raise UserError(f"{address} holds no CPC that is known here; it needs five convolutions and an LSTM")
    gates, width = kept["layers.0.weight_hh_l0"].shape
    if gates != 4 * width:
        raise UserError(f"{address} holds a CPC whose recurrent net is no LSTM; give another model")
    num_layers = 1 + max(int(name.split(".")[1]) for name in kept if name.startswith("layers."))
    with torch.device("meta"):
        model = Cpc(CpcConfig(len(kept[last]), width, num_layers))
    try:
        model.load_state_dict({name: _without_batch(name, value) for name, value in kept.items()}, assign=True)
    except RuntimeError as error:
        raise UserError(f"{address} does not fit a CPC: {str(error).splitlines()[-1].strip()}") from None
    return model.eval(), {"architecture": "cpc", "source": address}


def _without_batch(name: str, value: Tensor) -> Tensor:
    """Take the norms' weights of shape (1, C, 1) as (C, 1)."""
    return value[0] if ".norm_" in name else value
