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
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from s2st import audio
from s2st.config import UserError

LANGUAGES = {"en": "en-us"}  # what espeak calls a language, where it is not its ISO 639-1 code
SAMPLE_RATE = 22_050  # of the samples that `speak` gives; the voices themselves are made for it
NORMAL_RATE = 165  # words a minute; espeak's own 175 is a little hurried
NORMAL_PITCH = 50  # of 0..99
KEPT_SILENCE_SECONDS = 0.05  # at both ends of a line
AUDIBLE = 0.005  # of full scale

SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: synthesis calls back with samples, and returns when all is said
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report a broken installation instead of ending the process
UTF8 = 1  # espeakCHARS_UTF8
RATE, PITCH = 1, 3  # espeak_PARAMETER
NO_MORE_EVENTS, PHONEME = 0, 7  # espeakEVENT_LIST_TERMINATED, espeakEVENT_PHONEME
PHONEME_EVENTS, AS_IPA = 0x0001, 0x0002  # espeakINITIALIZE_PHONEME_EVENTS, espeakINITIALIZE_PHONEME_IPA
STRESS = "ˈˌ"  # marks before a vowel, which is the same phone with and without them
SWITCH = "("  # begins (en) and (hi), where a word of another language begins and ends: no phone
SILENCE = "sil"  # a pause within a line, and what is kept at its ends: a phone of its own
SEED = 1

INSTALL = "run: pip install espeakng-loader==0.2.4"


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),  # of what was said since the line began
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),  # of a union; UTF-8, and of eight bytes without an end
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Line:
    text: str
    rate: int = NORMAL_RATE  # words a minute
    pitch: int = NORMAL_PITCH  # of 0..99


@dataclass(frozen=True)
class Phone:
    """A phone of a line; it lasts until the next one starts, the last one to the end of the line."""

    name: str  # IPA without marks of stress, or SILENCE
    start: int  # sample


def voice_of(lang: str, variant: str = "") -> str:
    """Name a voice of a language (ISO 639-1), such as `hi+f2`; without a variant, espeak's own."""
    return "+".join(filter(None, (LANGUAGES.get(lang, lang), variant)))


def variants() -> set[str]:
    """List the voice variants, such as `f2` and `m3`, which go with any language."""
    return {path.name for path in (_data() / "voices" / "!v").iterdir()}


def speak(voice: str, lines: Sequence[Line]) -> list[np.ndarray]:
    """Speak lines with a voice such as `hi+f2`: int16 samples (N,) a line at SAMPLE_RATE, silence trimmed."""
    return [trim(samples) for samples, _ in _speak(voice, lines)]


def to_waveform(samples: np.ndarray) -> np.ndarray:
    """Turn samples as `speak` gives them into a waveform (N,): float32 in [-1, 1], 16 kHz."""
    return audio.resample(samples.astype(np.float32) / 32768, SAMPLE_RATE)


def speak_phones(voice: str, lines: Sequence[Line]) -> list[tuple[np.ndarray, list[Phone]]]:
    """Speak lines as `speak` does, the same samples, and give beside them the phones that they are of."""
    spoken = _speak(voice, lines, PHONEME_EVENTS | AS_IPA)
    return [(trim(samples), place(samples, marks)) for samples, marks in spoken]


def _speak(voice: str, lines: Sequence[Line], events: int = 0) -> list[tuple[np.ndarray, list[Phone]]]:
    """Speak lines: samples (N,) a line with silence at their ends, and the phones where `events` ask for them."""
    chunks: list[np.ndarray] = []
    marks: list[Phone] = []

    @_Callback
    def receive(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        for event in _until_last(events):
            name = event.name.decode(errors="ignore").strip(STRESS)
            if event.type == PHONEME and not name.startswith(SWITCH):
                marks.append(Phone(name or SILENCE, event.sample))
        return 0

    spoken = []
    with _one_at_a_time, _fresh_library(events) as library:
        library.espeak_SetSynthCallback(receive)
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice '{voice}'; variants such as f2 follow a language: en+f2")
        for line in lines:
            library.espeak_SetParameter(RATE, line.rate, 0)
            library.espeak_SetParameter(PITCH, line.pitch, 0)
            data = line.text.encode()
            library.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF8, None, None)
            spoken.append((np.concatenate([np.zeros(0, np.int16), *chunks]), marks.copy()))
            chunks.clear()
            marks.clear()
    return spoken


def _until_last(events: Any) -> Iterator[_Event]:
    place = 0
    while events and events[place].type != NO_MORE_EVENTS:
        yield events[place]
        place += 1


def trim(samples: np.ndarray) -> np.ndarray:
    """Cut the silence at both ends of int16 samples (N,) down to KEPT_SILENCE_SECONDS."""
    return samples[_kept(samples)]


def place(samples: np.ndarray, marks: Sequence[Phone]) -> list[Phone]:
    """Give the phones that espeak marks in samples (N,) their places in what `trim` leaves; the first is at 0.

    espeak marks a stop where it opens: the silence before that, which it leaves to the phone before, is the stop's.
    """
    kept = _kept(samples)
    last_audible = np.maximum.accumulate(np.where(_audible(samples), np.arange(len(samples)), -1))
    starts = [0]
    for before, mark in pairwise([Phone(SILENCE, 0), *marks]):
        end_before = int(last_audible[mark.start - 1]) + 1 if mark.start else 0
        starts.append(end_before if before.name != SILENCE and end_before > before.start else mark.start)
    bounds = np.clip([*starts, kept.stop], kept.start, kept.stop) - kept.start
    names = [SILENCE, *(mark.name for mark in marks)]
    placed: list[Phone] = []
    for name, (start, end) in zip(names, pairwise(bounds.tolist()), strict=True):
        going_on = name == SILENCE and placed and placed[-1].name == SILENCE
        if end > start and not going_on:
            placed.append(Phone(name, start))
    return placed


def _audible(samples: np.ndarray) -> np.ndarray:
    """Tell which samples are loud enough to be heard: int16 (N,) -> bool (N,)."""
    return np.abs(samples.astype(np.int32)) > AUDIBLE * 32768


def _kept(samples: np.ndarray) -> slice:
    """The part of samples (N,) that `trim` keeps."""
    audible = np.flatnonzero(_audible(samples))
    if len(audible) == 0:
        return slice(0, 0)
    kept = int(KEPT_SILENCE_SECONDS * SAMPLE_RATE)
    return slice(max(0, int(audible[0]) - kept), min(len(samples), int(audible[-1]) + 1 + kept))


def _data() -> Path:
    try:
        import espeakng_loader
    except ImportError:
        raise UserError(f"espeak-ng, which is to speak, is not installed; {INSTALL}") from None
    return Path(espeakng_loader.get_data_path())


@contextmanager
def _fresh_library(events: int) -> Iterator[ctypes.CDLL]:
    data = _data()
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    try:
        if library.espeak_Initialize(SYNCHRONOUS, 0, str(data).encode(), DONT_EXIT | events) != SAMPLE_RATE:
            raise UserError(f"espeak-ng cannot read its voices in {data}; {INSTALL} --force-reinstall")
        ctypes.CDLL(None).srand(SEED)  # breath draws from both generators
        library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
        yield library
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)
