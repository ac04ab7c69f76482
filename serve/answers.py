"""What a request is answered: WAV, or JSON with everything that the models said."""

import base64
from typing import Any

import numpy as np
from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from s2st import audio
from serve.deployments import Heard, Spoken
from serve.graph import Order

WAV = "audio/wav"
DIGITS = 6  # of seconds


class Refusal(BaseModel):
    """Why there is no answer."""

    detail: str = Field(description="one sentence", examples=["the audio is silent"])


class Timings(BaseModel):
    """Seconds that each part took, with what shared its batch."""

    decode: float = Field(description="the upload: read, decoded, brought to 16 kHz")
    encoder: float | None = Field(None, description="speech to units; absent where a model translates as a whole")
    translator: float
    vocoder: float | None = Field(None, description="units to speech; absent where a model translates as a whole")
    total: float


class UnitsAnswer(BaseModel):
    """Speech as units."""

    model: str
    units: list[int] = Field(description="reduced: runs of one unit are joined", examples=[[17, 3, 88]])
    durations: list[int] = Field(description="frames of each unit", examples=[[2, 1, 4]])
    frame_seconds: float = Field(description="length of a frame", examples=[0.02])


class SpeechAnswer(BaseModel):
    """Units as speech."""

    model: str
    to: str
    voice: str | None
    units: list[int]
    durations: list[int] = Field(description="frames of 20 ms of each unit")
    audio: str = Field(description="base64 of WAV: 16 kHz, mono, 16 bit")


class TranslationAnswer(SpeechAnswer):
    """Speech of another language."""

    source: str = Field(alias="from")
    seconds: float = Field(description="of the speech that was sent")
    source_units: list[int] = Field(description="of the speech that was sent; none where a model makes none")
    source_durations: list[int]
    finished: bool = Field(description="false: the model did not say where to end, and was cut")
    loops: bool = Field(description="true: it was cut, and repeats itself to its end")
    timings: Timings


def wants_json(request: Request) -> bool:
    """Tell whether the caller asks for JSON rather than audio."""
    accepted = request.headers.get("accept", "*/*")
    return "application/json" in accepted and WAV not in accepted


def wav(waveform: np.ndarray) -> Response:
    """Answer with audio."""
    return Response(audio.encode(waveform, "WAV"), media_type=WAV)


def spoken_fields(spoken: Spoken, order: Order) -> dict[str, Any]:
    """Give the fields of SpeechAnswer."""
    return _facts(spoken, order) | encoded_audio(spoken)


def _facts(spoken: Spoken, order: Order) -> dict[str, Any]:
    return {
        "model": order.model.name,
        "to": order.to,
        "voice": order.voice,
        "units": spoken.found.units.tolist(),
        "durations": spoken.durations.tolist(),
    }


def encoded_audio(spoken: Spoken) -> dict[str, str]:
    """Give the field of SpeechAnswer that is large."""
    return {"audio": base64.b64encode(audio.encode(spoken.waveform, "WAV")).decode()}


def translation(
    spoken: Spoken, order: Order, num_samples: int, decode_seconds: float, seconds: float
) -> dict[str, Any]:
    """Give the fields of TranslationAnswer."""
    return translation_facts(spoken, order, num_samples, decode_seconds, seconds) | encoded_audio(spoken)


def translation_facts(
    spoken: Spoken, order: Order, num_samples: int, decode_seconds: float, seconds: float
) -> dict[str, Any]:
    """Give the fields of TranslationAnswer, save its audio."""
    found, heard = spoken.found, spoken.found.heard
    timings: dict[str, float] = {"decode": decode_seconds, "translator": found.seconds, "total": seconds}
    if heard is not None:
        timings |= {"encoder": heard.seconds, "vocoder": spoken.seconds}
    return {
        **_facts(spoken, order),
        "from": order.source,
        "seconds": round(num_samples / audio.SAMPLE_RATE, DIGITS),
        "source_units": [] if heard is None else heard.units.tolist(),
        "source_durations": [] if heard is None else heard.durations.tolist(),
        "finished": found.finished,
        "loops": found.loops,
        "timings": {name: round(value, DIGITS) for name, value in timings.items()},
    }


def units(heard: Heard, model: str, frames_per_second: int) -> Response:
    """Answer with units as JSON."""
    return JSONResponse(
        {
            "model": model,
            "units": heard.units.tolist(),
            "durations": heard.durations.tolist(),
            "frame_seconds": 1 / frames_per_second,
        }
    )
