"""Read a checkpoint of PyTorch (.pt) from outside without executing anything that it holds.

A pickle may name any function and have it called. Here only tensors and ordered dicts are made; every other
class or function becomes a stub, which keeps what it is given and does nothing with it.
"""

import itertools
import pickle
import tarfile
import tempfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch
from pyarrow import fs
from torch import Tensor

from s2st import storage
from s2st.config import UserError

MAX_FILE_BYTES = 64 * 2**30  # XLSR 2B with its optimizer is below 30
MAX_PICKLE_BYTES = 256 * 2**20  # names, shapes and settings; tensors lie beside it
MAX_SETTINGS = 100_000  # a few objects that refer to each other can unfold into billions
LEGACY_HEAD = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)  # how files of PyTorch before 1.6 begin
BROKEN = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, TypeError, AttributeError),
    *(KeyError, IndexError, AssertionError, EOFError, MemoryError, OSError),
)  # what damaged and hostile files raise in torch.load


class Stub:
    """Stand for an object of a class that is not trusted: its arguments, state and elements, without behaviour."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.state = arguments, None
        self.entries: dict[Any, Any] = {}
        self.elements: list[Any] = []

    def __new__(cls, *arguments: Any) -> "Stub":
        """Fill it here too: pickles of protocol 2 make objects without calling __init__."""
        stub = super().__new__(cls)
        Stub.__init__(stub, *arguments)
        return stub

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def append(self, value: Any) -> None:
        """Keep an element of what was a kind of list."""
        self.elements.append(value)

    add = append


def _tensor(stored: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
    """Make a tensor that lies within its storage; one that does not, torch would give new memory."""
    end = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True)) + 1
    if 0 not in size and end * stored.dtype.itemsize > stored._untyped_storage.nbytes():
        raise ValueError("a tensor is larger than its bytes")
    return torch._utils._rebuild_tensor(stored, offset, size, stride)


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


_CLASSES: dict[tuple[str, str], type] = {("collections", "OrderedDict"): OrderedDict, ("torch", "Size"): torch.Size}
_FUNCTIONS: dict[tuple[str, str], Callable[..., Tensor]] = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _FUNCTIONS:
            # a pickle may set attributes of what it gets: it gets a function of its own
            function = _FUNCTIONS[module, name]
            return lambda *arguments: function(*arguments)
        return _CLASSES.get((module, name)) or type(name, (Stub,), {})


def _load(file: IO[bytes], **settings: Any) -> Any:
    return _Unpickler(file, **settings).load()


_PICKLE = types.ModuleType("restricted_pickle")  # what torch.load wants of a pickle module
_PICKLE.Unpickler, _PICKLE.load = _Unpickler, _load  # type: ignore[attr-defined]


def read(address: str) -> dict[str, Any]:
    """Read the dict that a .pt file holds, tensors on the CPU, with a `Stub` for every unknown object.

    Raises UserError for a file that is missing, absurdly large, broken or no dict.
    """
    system, path = storage.resolve(address)
    info = system.get_file_info(path)
    if info.type != fs.FileType.File:
        raise UserError(f"there is no file {address}; give the address of a checkpoint (.pt)")
    if info.size > MAX_FILE_BYTES:
        raise UserError(
            f"{address} has {info.size / 2**30:.0f} GB, more than any checkpoint known; is it another file?"
        )
    if isinstance(system, fs.LocalFileSystem):
        return _read_local(path, address)
    with tempfile.TemporaryDirectory() as folder:
        local = f"{folder}/checkpoint.pt"
        fs.copy_files(path, local, source_filesystem=system, destination_filesystem=fs.LocalFileSystem())
        return _read_local(local, address)


def _read_local(path: str, address: str) -> dict[str, Any]:
    try:
        zipped = _check_container(path)
        content = torch.load(path, map_location="cpu", pickle_module=_PICKLE, weights_only=False, mmap=zipped)
    except BROKEN as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{address} is not a checkpoint that can be read ({reason}); fetch it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{address} holds a {type(content).__name__} instead of a dict of weights; give another file")
    return content


def _check_container(path: str) -> bool:
    """Tell whether a file is a zip archive; ValueError for TorchScript, tar archives and zip bombs."""
    with open(path, "rb") as file:
        head = file.read(len(LEGACY_HEAD))
    if head[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
        if any(record.filename.endswith("/constants.pkl") for record in records):
            raise ValueError("it is a TorchScript program")
        if sum(record.file_size for record in records) > Path(path).stat().st_size:
            raise ValueError("its records are larger than the file")
        if any(r.file_size > MAX_PICKLE_BYTES for r in records if r.filename.endswith(".pkl")):
            raise ValueError("its pickle is too large")
        return True
    if head != LEGACY_HEAD or tarfile.is_tarfile(path):
        raise ValueError("it was not written by torch.save")
    return False


def read_fairseq(address: str) -> dict[str, Any]:
    """Read a checkpoint of fairseq: {"model": weights, "cfg": settings as plain dicts, lists and scalars, ...}.

    The settings have the sections "model", "task" and others; a file from before fairseq 1.0 has one namespace,
    which then stands for both. "task_state" is what the task keeps, its dictionaries, as `read` gives it, or None.
    Raises UserError as `read` does, and if there are no weights.
    """
    content = read(address)
    weights = content.get("model")
    if not isinstance(weights, dict):
        raise UserError(f"{address} has no 'model' (found: {_names(content)}); give a checkpoint of fairseq")
    settings = content.get("cfg")
    if settings is None:
        settings = {"model": content.get("args"), "task": content.get("args")}
    cfg = plain(settings, address)
    return {"model": tensors(weights, address), "cfg": cfg, "task_state": content.get("task_state")}


def section(settings: Any, name: str) -> dict[str, Any]:
    """Give a section of a checkpoint's settings; empty if there is none."""
    found = settings.get(name) if isinstance(settings, dict) else None
    return found if isinstance(found, dict) else {}


def tensors(weights: dict[Any, Any], address: str) -> dict[str, Tensor]:
    """Take the tensors of a state dict; raises UserError for one that repeats its bytes to seem large."""
    kept = {str(name): value for name, value in weights.items() if isinstance(value, Tensor)}
    for name, value in kept.items():
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"{address}: the weights of {name} are not all in the file; fetch it again")
    return kept


def plain(value: Any, address: str) -> Any:
    """Turn namespaces, configs of omegaconf and enums, as stubs, into dicts, lists and scalars; others into None."""
    try:
        return _plain(value, itertools.count())
    except (RecursionError, OverflowError):
        raise UserError(f"{address}: its settings unfold without end; fetch the checkpoint again") from None


def _plain(value: Any, seen: Iterator[int]) -> Any:
    if next(seen) > MAX_SETTINGS:
        raise OverflowError
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item, seen) for key, item in value.items() if isinstance(key, str | int)}
    if isinstance(value, list | tuple):
        return [_plain(item, seen) for item in value]
    return _plain(_content(value), seen) if isinstance(value, Stub) else None


def _content(stub: Stub) -> Any:
    """Say what a stub holds: omegaconf keeps it in _content or _val, an enum is made from its value."""
    if isinstance(stub.state, dict):
        for name in ("_content", "_val"):
            if name in stub.state:
                return stub.state[name]
        return stub.state
    if stub.entries or stub.elements:
        return stub.entries or stub.elements
    return stub.arguments[0] if len(stub.arguments) == 1 else None


def _names(content: dict[Any, Any]) -> str:
    return ", ".join(map(str, itertools.islice(content, 8))) or "nothing"
