"""The deployments of the graph: each holds one model and answers batches of requests."""

import asyncio
from typing import Any

import numpy as np
import torch
from ray import serve

from s2st.audio import SAMPLE_RATE
from s2st.beam_search import SearchOptions
from s2st.decoding import translate_units
from s2st.speech_to_units import SpeechToUnits
from s2st.translator import load_translator, read_model_folder
from s2st.units import reduce
from s2st.voice import Voice

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH_SECONDS = 60  # of speech that the encoder takes at once
BATCH_WAIT_SECONDS = 0.01  # that a request waits for others to share a batch with
CPUS = 0.2  # of each replica: the graph fits on one core, and a request is with one model at a time
BATCH_REQUESTS = 16  # that the translator and the vocoder take at once


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": CPUS})
class SpeechEncoder:
    """Waveforms to reduced units."""

    def __init__(self, model: str):
        self.speech_to_units = SpeechToUnits.load(f"{model}/codebook", DEVICE, BATCH_SECONDS)

    @serve.batch(
        max_batch_size=BATCH_SECONDS * SAMPLE_RATE,
        batch_wait_timeout_s=BATCH_WAIT_SECONDS,
        batch_size_fn=lambda waveforms: sum(map(len, waveforms)),
    )
    async def __call__(self, waveforms: list[np.ndarray]) -> list[np.ndarray]:
        """Give the reduced units of each waveform (N,)."""
        units = await asyncio.to_thread(self.speech_to_units, waveforms)
        return [reduce(sequence)[0] for sequence in units]


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": CPUS})
class UnitTranslator:
    """Reduced units to reduced units of another language."""

    def __init__(self, model: str, beam: int):
        self.translator: Any = load_translator(model, DEVICE, "unit_transformer")[0]
        self.options = SearchOptions(beam=beam)

    @serve.batch(max_batch_size=BATCH_REQUESTS, batch_wait_timeout_s=BATCH_WAIT_SECONDS)
    async def __call__(self, units: list[np.ndarray], sources: list[str], targets: list[str]) -> list[np.ndarray]:
        """Translate each sequence of units (L,) from its source to its target language."""
        found = await asyncio.to_thread(translate_units, self.translator, units, sources, targets, self.options)
        return [best.units for best, *_ in found]


@serve.deployment(max_ongoing_requests=64, ray_actor_options={"num_cpus": CPUS})
class UnitVocoder:
    """Reduced units to waveforms."""

    def __init__(self, model: str):
        vocoders = read_model_folder(model)["vocoders"]
        by_name = {name: Voice.load(f"{model}/vocoders/{name}", DEVICE) for name in set(vocoders.values())}
        self.voices = {lang: by_name[name] for lang, name in vocoders.items()}

    @serve.batch(max_batch_size=BATCH_REQUESTS, batch_wait_timeout_s=BATCH_WAIT_SECONDS)
    async def __call__(self, units: list[np.ndarray], targets: list[str]) -> list[np.ndarray]:
        """Speak each sequence of units (L,) in its language; gives waveforms (N,)."""
        waveforms: list[Any] = [None] * len(units)
        for lang in set(targets):
            places = [i for i, target in enumerate(targets) if target == lang]
            spoken = await asyncio.to_thread(self.voices[lang].speak, [units[i] for i in places], lang)
            for place, (waveform, _) in zip(places, spoken, strict=True):
                waveforms[place] = waveform
        return waveforms
