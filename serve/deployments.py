"""The deployments behind the gateway: each holds one part of the models, and answers batches of requests.

A model goes by the name of its version (serve.models): a replica loads it when it is first asked for.
"""

import asyncio
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ray import serve
from ray.exceptions import RayTaskError
from ray.serve.handle import DeploymentHandle

from s2st import translators
from s2st.audio import SAMPLE_RATE
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.decoding import translate_units
from s2st.growing_speech import GrowingSpeech
from s2st.growing_translation import translate_growing
from s2st.models.unit_transformer import UnitTransformer
from s2st.speech_to_units import SpeechToUnits
from s2st.translator import SpeechTranslator, check_units, load_translator, load_voices
from s2st.units import reduce
from s2st.voice import Voice
from serve.batching import Batches
from serve.growing import in_thread
from serve.models import folder_of
from serve.settings import MAX_MODELS

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CPUS = 0.2  # of each replica: the graph fits on one core, and a request is with one model at a time
# Without a GPU, where a replica computes on one core, translators are two if there are cores for them: they take nine
# tenths of the time.
TRANSLATORS = 1 if DEVICE == "cuda" else min(2, os.cpu_count() or 1)
BATCH_SECONDS = 60  # of speech that is taken at once
# There, encoding at once saves nothing, and the translator waits meanwhile.
ENCODER_SECONDS = BATCH_SECONDS if DEVICE == "cuda" else 8
BATCH_UNITS = 2_400  # that are translated or spoken at once
PATIENCE = 0.4  # of the translator, whose time grows least with the batch
ONGOING = 64  # requests that a replica takes in at once

OPTIONS: dict[str, Any] = {  # of the gateway, too
    "ray_actor_options": {"num_cpus": CPUS},
    "health_check_period_s": 2,  # after which a replica that died is found, at the latest
    "graceful_shutdown_wait_loop_s": 0.2,  # after which a replica that has nothing to do is gone
}
WHEN_ASKED_FOR = {"min_replicas": 0, "initial_replicas": 0, "max_replicas": 1}


@dataclass(frozen=True)
class Heard:
    """Speech as units."""

    units: np.ndarray  # (L,), reduced
    durations: np.ndarray  # (L,), frames of each
    seconds: float  # that its batch took, as everywhere below


@dataclass(frozen=True)
class Found:
    """Units of the other language."""

    heard: Heard | None  # None where a model hears speech itself
    units: np.ndarray  # (L,), reduced
    finished: bool
    loops: bool
    seconds: float


@dataclass(frozen=True)
class Spoken:
    """Units as speech."""

    found: Found
    waveform: np.ndarray  # (N,), float32 in [-1, 1], 16 kHz
    durations: np.ndarray  # of `found.units`, in frames
    seconds: float


class ModelLostError(RuntimeError):
    """A model that was read before cannot be read again."""


class Holder:
    """Holds the models that were asked for last, and answers in batches; subclasses say how a model is read."""

    def __init__(
        self, compute: Callable[..., list[Any]], size: Callable[[Any], int], max_size: int, patience: float = 0.0
    ):
        """Answer by `compute(model, *rest, items)` where a key is (version, *rest); all else is as in Batches."""
        self.compute = compute
        self.batches = Batches(self._compute, size, max_size, patience)

    @serve.multiplexed(max_num_models_per_replica=MAX_MODELS)
    async def model(self, version: str) -> Any:
        """Give a model, which is read when it is first asked for; raises UserError if it is broken."""
        return await asyncio.to_thread(lambda: self.read(folder_of(version)))

    async def warm(self, version: str) -> None:
        """Read a model before it is needed; raises UserError if it is broken."""
        await self.model(version)

    def read(self, folder: str) -> Any:
        """Read the part of a model folder that this deployment holds."""
        raise NotImplementedError

    async def held(self, version: str) -> Any:
        """Give a model that was warmed; raises ModelLostError if it cannot be read: that is no fault of who asks."""
        try:
            return await self.model(version)
        except UserError as error:
            raise ModelLostError(str(error)) from None

    async def _compute(self, key: tuple[Any, ...], items: list[Any]) -> list[Any]:
        return await asyncio.to_thread(self.compute, await self.held(key[0]), *key[1:], items)


@serve.deployment(**OPTIONS, max_ongoing_requests=ONGOING)
class SpeechEncoder(Holder):
    """Waveforms to reduced units."""

    def __init__(self) -> None:
        super().__init__(encode, len, ENCODER_SECONDS * SAMPLE_RATE)

    def read(self, folder: str) -> SpeechToUnits:
        """Read what makes units of speech."""
        return SpeechToUnits.load(f"{folder}/codebook", DEVICE, BATCH_SECONDS)

    async def __call__(self, waveform: np.ndarray, version: str) -> Heard:
        """Give the units of a waveform (N,)."""
        return await self.batches.ask((version,), waveform)


def encode(speech_to_units: SpeechToUnits, waveforms: list[np.ndarray]) -> list[Heard]:
    """Give the units of waveforms (N,)."""
    start = time.perf_counter()
    units = speech_to_units(waveforms)
    seconds = time.perf_counter() - start
    return [Heard(*reduce(sequence), seconds) for sequence in units]


@serve.deployment(**OPTIONS, max_ongoing_requests=ONGOING, num_replicas=TRANSLATORS)
class UnitTranslator(Holder):
    """Reduced units to reduced units of another language."""

    def __init__(self) -> None:
        super().__init__(find, lambda item: len(item[0].units), BATCH_UNITS, PATIENCE)

    def read(self, folder: str) -> UnitTransformer:
        """Read the translator."""
        return load_translator(folder, DEVICE, "unit_transformer")[0]  # type: ignore[return-value]

    async def __call__(self, heard: Heard, version: str, source: str, to: str, beam: int) -> Found:
        """Translate units from the language `source` to the language `to`."""
        return await self.batches.ask((version, beam), (heard, source, to))  # a batch holds any languages

    async def grow(self, heard: Heard, version: str, source: str, to: str, beam: int) -> AsyncIterator[np.ndarray]:
        """Translate alone, and give units (L,) as soon as they are settled."""
        translator = await self.held(version)
        check_units(translator, heard.units, source)
        growing = translate_growing(translator, heard.units, source, to, SearchOptions(beam=beam))
        async for parts in in_thread(growing):
            yield np.concatenate(parts)


def find(translator: UnitTransformer, beam: int, items: list[tuple[Heard, str, str]]) -> list[Found]:
    """Translate what was heard, each from its source to its target language."""
    start = time.perf_counter()
    for heard, source, _ in items:
        check_units(translator, heard.units, source)
    heard, sources, targets = zip(*items, strict=True)
    found = translate_units(translator, [one.units for one in heard], sources, targets, SearchOptions(beam=beam))
    seconds = time.perf_counter() - start
    return [
        Found(one, best.units, best.finished, best.loops, seconds) for one, (best, *_) in zip(heard, found, strict=True)
    ]


@serve.deployment(**OPTIONS, max_ongoing_requests=ONGOING)
class UnitVocoder(Holder):
    """Reduced units to waveforms."""

    def __init__(self, translator: DeploymentHandle) -> None:
        super().__init__(speak, lambda found: len(found.units), BATCH_UNITS)
        self.translator = translator.options(stream=True)

    def read(self, folder: str) -> dict[str, Voice]:
        """Read the voices, by language."""
        return load_voices(folder, DEVICE)

    async def __call__(self, found: Found, version: str, to: str, voice: str | None, full: bool = False) -> Spoken:
        """Speak units in the language `to`, by the speaker `voice` or the one that was heard most."""
        return await self.batches.ask((version, to, voice, full), found)

    async def grow(
        self, heard: Heard, version: str, source: str, to: str, voice: str | None, beam: int
    ) -> AsyncIterator[np.ndarray]:
        """Translate what was heard and speak it, as far as it is settled: the waveform in chunks (N,)."""
        voices = await self.held(version)
        speech = GrowingSpeech(voices[to], to, voice)
        try:
            async for units in self.translator.grow.remote(heard, version, source, to, beam):
                async for chunks in in_thread(speech.add(units)):
                    yield np.concatenate(chunks)
        except RayTaskError as error:  # told to the caller as the translator raised it
            raise error.cause from None
        async for chunks in in_thread(speech.end()):
            yield np.concatenate(chunks)


def speak(voices: dict[str, Voice], to: str, speaker: str | None, full: bool, requests: list[Found]) -> list[Spoken]:
    """Speak units that were found, in one language by one speaker."""
    start = time.perf_counter()
    spoken = voices[to].speak([found.units for found in requests], to, full, speaker)
    seconds = time.perf_counter() - start
    return [
        Spoken(found, waveform, durations, seconds)
        for found, (waveform, durations) in zip(requests, spoken, strict=True)
    ]


@serve.deployment(**OPTIONS, max_ongoing_requests=ONGOING, autoscaling_config=WHEN_ASKED_FOR)
class WholeTranslator(Holder):
    """Waveforms to waveforms of another language, by models that are not asked in parts: S2UT, spectrograms, others."""

    def __init__(self) -> None:
        super().__init__(translate, len, BATCH_SECONDS * SAMPLE_RATE)

    def read(self, folder: str) -> SpeechTranslator:
        """Read a translator of any kind."""
        return translators.load(folder, DEVICE)

    async def __call__(self, waveform: np.ndarray, version: str, source: str, to: str, beam: int) -> Spoken:
        """Translate a waveform (N,) from the language `source` to the language `to`."""
        return await self.batches.ask((version, source, to, beam), waveform)


def translate(
    translator: SpeechTranslator, source: str, to: str, beam: int, waveforms: list[np.ndarray]
) -> list[Spoken]:
    """Translate waveforms (N,) of one language to another."""
    start = time.perf_counter()
    options = dataclasses.replace(translator.search, beam=beam)
    translations = translator.translate_batch(waveforms, [source] * len(waveforms), to, options)
    seconds = time.perf_counter() - start
    return [
        Spoken(Found(None, one.units, one.finished, one.loops, seconds), one.waveform, one.durations, 0.0)
        for one in translations
    ]
