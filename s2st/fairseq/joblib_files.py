"""Files of joblib, without joblib and without running what a pickle may ask to run.

Numbers, text, containers and numpy's arrays are read; scikit-learn's objects become empty ones that hold attributes;
all else is refused.
"""

import bz2
import io
import lzma
import pickle
import zlib
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import numpy as np

INERT = ("sklearn.", "numpy.random.")  # modules whose objects are not made: an estimator, its random state
MAX_BYTES = 4 << 30  # of a file that is unpacked: a few KB can unpack to more than any memory
DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {  # by how a file begins, as joblib tells them apart
    b"\x78": zlib.decompressobj,
    b"\x1f\x8b": lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),  # 16: gzip's header
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd\x37\x7a\x58\x5a": lzma.LZMADecompressor,
    b"\x5d\x00": lzma.LZMADecompressor,
}


def load(data: bytes) -> Any:
    """Read what joblib.dump wrote, compressed or not, with any version.

    Raises pickle.UnpicklingError for what is refused, and about any exception for what is no such file.
    """
    for begin, make in DECOMPRESSORS.items():
        if data.startswith(begin):
            data = _unpack(data, make())
            break
    return _Unpickler(data).load()


def _unpack(data: bytes, decompressor: Any) -> bytes:
    unpacked: bytes = decompressor.decompress(data, MAX_BYTES)
    if len(unpacked) == MAX_BYTES:
        raise pickle.UnpicklingError(f"it unpacks to {MAX_BYTES} bytes or more, and centroids need fewer")
    if not decompressor.eof:
        raise EOFError("it is cut off")
    return unpacked


class _Inert:
    """Stands for an object of a class that is not to be made; holds its attributes."""

    def __new__(cls, *_: Any, **__: Any) -> "_Inert":
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


class _Array(_Inert):
    """Stands for joblib's NumpyArrayWrapper: after its pickle come the bytes of the array."""


def _read_array(wrapper: Any, file: io.BytesIO) -> np.ndarray:
    """Read the array that begins here."""
    if wrapper.dtype.hasobject:
        raise pickle.UnpicklingError("it has an array of objects, which is a pickle in the pickle")
    if getattr(wrapper, "numpy_array_alignment_bytes", None):  # since joblib 1.2: a byte that says how many to skip
        file.read(file.read(1)[0])
    count = int(np.prod(wrapper.shape, dtype=np.int64))
    data = file.read(count * wrapper.dtype.itemsize)
    return np.frombuffer(data, wrapper.dtype, count).reshape(wrapper.shape, order=wrapper.order)


def _dtype(name: str, *_: Any) -> np.dtype:
    """Make a type of numbers of its own, since its byte order is set later."""
    return np.dtype(str(name), copy=True)


def _scalar(dtype: np.dtype, data: bytes) -> Any:
    """Make a number as numpy's own function does, but never an object."""
    return np.frombuffer(data, dtype)[0]


def _ndarray(*_: Any) -> np.ndarray:
    """Make the empty array that a plain pickle fills."""
    return np.empty(0)


def _frombuffer(data: bytes, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
    """Make an array as plain pickles do since protocol 5."""
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def _encode(text: str, _: str) -> bytes:
    """Make bytes, which pickles of protocol 2 hold as text."""
    return text.encode("latin1")


KNOWN = {  # what numbers and arrays need, by package and name
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _Inert,
    ("numpy", "scalar"): _scalar,
    ("numpy", "_reconstruct"): _ndarray,
    ("numpy", "_frombuffer"): _frombuffer,
    ("_codecs", "encode"): _encode,
}
_InPython: Any = pickle._Unpickler  # type: ignore[attr-defined]  # the one in C cannot be stopped at arrays


class _Unpickler(_InPython):
    """Reads numbers, text, containers and numpy's arrays; makes nothing else."""

    dispatch: ClassVar[dict[int, Callable[..., None]]] = dict(_InPython.dispatch)

    def __init__(self, data: bytes) -> None:
        self.file = io.BytesIO(data)
        super().__init__(self.file)

    def find_class(self, module: str, name: str) -> Any:
        """Give the class or function of a name, or what stands for it."""
        known = KNOWN.get((module.partition(".")[0], name))
        if module.endswith("joblib.numpy_pickle") and name == "NumpyArrayWrapper":
            return _Array  # scikit-learn had a joblib of its own once
        if known is not None:
            return known
        if f"{module}.".startswith(INERT):
            return _Inert
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which centroids do not need")

    def load_build(self) -> None:
        """Give an object its attributes; an array's wrapper becomes the array."""
        if not isinstance(self.stack[-2], _Inert | np.ndarray | np.dtype):
            raise pickle.UnpicklingError("it gives attributes to what is no object of its own")
        super().load_build()
        if isinstance(self.stack[-1], _Array):
            self.stack[-1] = _read_array(self.stack[-1], self.file)

    dispatch[pickle.BUILD[0]] = load_build
