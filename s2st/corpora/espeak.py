"""Speak text with espeak-ng, through ctypes, from the library and voices that `espeakng_loader` carries.

The library keeps one voice in globals of the process, and some of them (the phase of its pitch flutter, the
random noise of its breath) survive even its own restart. So each call of `speak` loads the library afresh,
speaks all lines of one voice, and unloads it: the same call gives the same samples in any process.
"""

import _ctypes
import ctypes
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from s2st.config import UserError

SAMPLE_RATE = 22_050  # of the samples that `speak` gives; the voices themselves are made for it
NORMAL_RATE = 165  # words a minute; espeak's own 175 is a little hurried
NORMAL_PITCH = 50  # of 0..99
KEPT_SILENCE_SECONDS = 0.05  # at both ends of a line
AUDIBLE = 0.005  # of full scale

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: synthesis calls back with samples, and returns when all is said
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report a broken installation instead of ending the process
UTF8 = 1  # espeakCHARS_UTF8
RATE, PITCH = 1, 3  # espeak_PARAMETER
SEED = 1

INSTALL = "run: pip install espeakng-loader==0.2.4"

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Line:
    text: str
    rate: int = NORMAL_RATE  # words a minute
    pitch: int = NORMAL_PITCH  # of 0..99


def variants() -> set[str]:
    """List the voice variants, such as `f2` and `m3`, which go with any language."""
    return {path.name for path in (_data() / "voices" / "!v").iterdir()}


def speak(voice: str, lines: Sequence[Line]) -> list[np.ndarray]:
    """Speak lines with a voice such as `hi+f2`: int16 samples (N,) a line at SAMPLE_RATE, silence trimmed."""
    chunks: list[np.ndarray] = []

    @_Callback
    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    spoken = []
    with _one_at_a_time, _fresh_library() as library:
        library.espeak_SetSynthCallback(receive)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice '{voice}'; variants such as f2 follow a language: en+f2")
        for line in lines:
            library.espeak_SetParameter(RATE, line.rate, 0)
            library.espeak_SetParameter(PITCH, line.pitch, 0)
            data = line.text.encode()
            library.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF8, None, None)
            spoken.append(trim(np.concatenate([np.zeros(0, np.int16), *chunks])))
            chunks.clear()
    return spoken


def trim(samples: np.ndarray) -> np.ndarray:
    """Cut the silence at both ends of int16 samples (N,) down to KEPT_SILENCE_SECONDS."""
    audible = np.flatnonzero(np.abs(samples.astype(np.int32)) > AUDIBLE * 32768)
    if len(audible) == 0:
        return samples[:0]
    kept = int(KEPT_SILENCE_SECONDS * SAMPLE_RATE)
    return samples[max(0, audible[0] - kept) : audible[-1] + 1 + kept]


def _data() -> Path:
    try:
        import espeakng_loader
    except ImportError:
        raise UserError(f"the phrasebook speaks with espeak-ng, which is not installed; {INSTALL}") from None
    return Path(espeakng_loader.get_data_path())


@contextmanager
def _fresh_library() -> Iterator[ctypes.CDLL]:
    data = _data()
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    try:
        if library.espeak_Initialize(SYNCHRONOUS, 0, str(data).encode(), DONT_EXIT) != SAMPLE_RATE:
            raise UserError(f"espeak-ng cannot read its voices in {data}; {INSTALL} --force-reinstall")
        ctypes.CDLL(None).srand(SEED)  # breath draws from both generators
        library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
        yield library
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)
