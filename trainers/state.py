"""The state of a training on disk: one safetensors file, with what is no tensor as JSON in its header.

No pickle, so a run folder from elsewhere can be gone on with safely.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from s2st import storage
from s2st.config import UserError
from trainers.batches import Place

FILE = "state.safetensors"
HEADER = "training"  # key of the JSON in the file's header
MAX_HEADER_BYTES = 100_000_000  # as safetensors has it

Part = nn.Module | torch.optim.Optimizer


@dataclass
class Progress:
    """What a training keeps beside its weights."""

    step: int = 0  # updates done
    place: Place = field(default_factory=Place)  # of the next batch
    history: list[dict[str, float]] = field(default_factory=list)  # lines of metrics
    cost: float | None = None  # newest value of the validation metric, lower is better
    least: float | None = None  # lowest cost
    best_step: int = 0  # updates that the model with it had
    worse: int = 0  # checkpoints since then
    snapshots: list[int] = field(default_factory=list)  # updates of the models to be averaged
    scaler: dict[str, Any] = field(default_factory=dict)  # of fp16
    core_seconds: float = 0.0  # CPU time of the processes of all workers
    worker_seconds: float = 0.0  # how long they lasted, together

    def judge(self, cost: float) -> bool:
        """Take in the cost of this step; tell whether it is the lowest so far, which no infinite one and no NaN is."""
        self.cost = cost if math.isfinite(cost) else None
        lowest = math.isfinite(cost) and (self.least is None or cost < self.least)
        self.worse = 0 if lowest else self.worse + 1
        if lowest:
            self.least, self.best_step = cost, self.step
        return lowest


def save(folder: str, parts: Mapping[str, Part], progress: Progress) -> None:
    """Write models, optimizers and progress into a folder."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, part in parts.items():
        for key, value in _tensors(part).items():
            tensor = value.detach().cpu().contiguous()
            # one that a model uses under two names is written twice: safetensors refuses shared memory
            tensors[f"{name}/{key}"] = tensor.clone() if tensor.data_ptr() in seen else tensor
            seen.add(tensor.data_ptr())
    data = safetensors.torch.save(tensors, {HEADER: json.dumps(asdict(progress))})
    storage.write_bytes(f"{folder}/{FILE}", data)


def load(folder: str, parts: Mapping[str, Part]) -> Progress:
    """Read a state into models and optimizers, and give its progress."""
    tensors = safetensors.torch.load(storage.read_bytes(f"{folder}/{FILE}"))
    for name, part in parts.items():
        own = {key.partition("/")[2]: value for key, value in tensors.items() if key.partition("/")[0] == name}
        if isinstance(part, torch.optim.Optimizer):
            _load_optimizer(part, own)
        else:
            part.load_state_dict(own)
    return read_progress(folder)


def read_progress(folder: str) -> Progress:
    """Read the progress of a state without its tensors; that of nothing done if there is no state.

    Raises UserError for a file that claims a header of absurd size.
    """
    if not storage.is_file(f"{folder}/{FILE}"):
        return Progress()
    system, path = storage.resolve(f"{folder}/{FILE}")
    with system.open_input_stream(path) as file:
        size = int.from_bytes(file.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise UserError(f"{folder}/{FILE} is broken: its header would have {size:,} bytes; delete it")
        header = json.loads(file.read(size))
    values = json.loads(header["__metadata__"][HEADER])
    return Progress(**{**values, "place": Place(*values["place"])})


def _tensors(part: Part) -> dict[str, Tensor]:
    if isinstance(part, nn.Module):
        return part.state_dict()
    kept = part.state_dict()["state"]
    return {f"{number}/{key}": value for number, values in kept.items() for key, value in values.items()}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer its moments; its settings come from the recipe."""
    kept: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        number, _, key = name.partition("/")
        kept.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({"state": kept, "param_groups": optimizer.state_dict()["param_groups"]})
