"""The HTTP interface: what can be asked, and how it is answered."""

import time
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError, ValidationException, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, FailFast, Field, StrictInt
from starlette.requests import HTTPConnection

from s2st.audio import SAMPLE_RATE
from s2st.baselines.hosted_client import ServiceError
from s2st.config import UserError
from s2st.speech_to_units import frames_per_second
from serve import answers, page
from serve.access import Cors, Guard
from serve.audio_translations import add_audio_translations
from serve.deployments import ModelLostError
from serve.errors import BUSY, REFUSALS, RETRY_SECONDS, Responses, sentence_of
from serve.graph import Order
from serve.live import add_live
from serve.models import Model, check_voice
from serve.requests import BEAM, FROM, MODEL, MOST_NAMED, TO, VOICE, Server, at_work, check_names, make_order, within
from serve.settings import ServeSettings
from serve.sockets import refuse
from serve.streams import STREAM, stream_translation
from serve.uploads import BODY, read_speech

SPEECH: Responses = REFUSALS | {
    200: {"content": {answers.WAV: {}}, "description": "WAV, 16 kHz, mono, 16 bit; or JSON, if Accept asks for it"}
}


class SpeakRequest(BaseModel):
    """Units to be spoken."""

    units: Annotated[list[StrictInt], FailFast()] = Field(min_length=1, examples=[[17, 3, 88]])
    to: str = Field(max_length=MOST_NAMED, description="language that the units speak", examples=["hi"])
    model: str | None = Field(None, max_length=MOST_NAMED)
    voice: str | None = Field(None, max_length=MOST_NAMED)
    full: bool = Field(False, description="one unit for each frame; otherwise they are reduced")


def create_app(server: Server) -> FastAPI:
    """Make the interface of a server."""
    strict = Depends(check_names)
    app = FastAPI(title="Speech-to-speech translation", version="1", redirect_slashes=False, dependencies=[strict])
    app.add_middleware(Guard, gateway=server)
    app.add_middleware(Cors, gateway=server)
    add_error_handlers(app)
    add_translation(app, server)
    add_audio_translations(app, server)
    add_live(app, server)
    add_units(app, server)
    add_status(app, server)
    app.include_router(page.router)
    return app


def add_translation(app: FastAPI, server: Server) -> None:
    """Add the routes that translate."""

    @app.post("/v1/translate", responses=SPEECH, response_model=answers.TranslationAnswer, openapi_extra=BODY)
    async def translate(
        request: Request,
        to: str = TO,
        source: str | None = FROM,
        model: str | None = MODEL,
        voice: str | None = VOICE,
        beam: int | None = BEAM,
        stream: bool = STREAM,
    ) -> Response:
        """Translate a recording: any format that libsndfile reads, at any rate, mono or stereo."""
        start = time.perf_counter()
        order = make_order(server, to, source, model, voice, beam)
        if stream:
            return await stream_translation(server, request, order, beam)
        waveform = await read_speech(request, server.settings)
        decode_seconds = time.perf_counter() - start
        async with at_work(server, len(waveform) / SAMPLE_RATE):
            spoken = await server.graph.translate(waveform, order)
        if not answers.wants_json(request):
            return answers.wav(spoken.waveform)
        seconds = time.perf_counter() - start
        return JSONResponse(answers.translation(spoken, order, len(waveform), decode_seconds, seconds))


def add_units(app: FastAPI, server: Server) -> None:
    """Add the routes for one half of a translation: speech to units, and units to speech."""

    @app.post("/v1/units", responses=REFUSALS, response_model=answers.UnitsAnswer, openapi_extra=BODY)
    async def units(request: Request, model: str | None = MODEL) -> Response:
        """Give the units of a recording."""
        chosen = in_parts(server, model)
        waveform = await read_speech(request, server.settings)
        async with at_work(server, len(waveform) / SAMPLE_RATE):
            heard = await server.graph.units(waveform, chosen)
        return answers.units(heard, chosen.name, frames_per_second(chosen.about.units))

    @app.post("/v1/speak", responses=SPEECH, response_model=answers.SpeechAnswer)
    async def speak(request: Request, wanted: SpeakRequest) -> Response:
        """Speak units."""
        model = in_parts(server, wanted.model)
        if wanted.to not in model.about.voices:
            spoken_languages = ", ".join(model.about.voices)
            raise UserError(f"model '{model.name}' does not speak '{wanted.to}'; it speaks {spoken_languages}")
        check_voice(model, wanted.to, wanted.voice)
        order = Order(model, "", wanted.to, wanted.voice, server.settings.beam)
        sequence = check_sequence(wanted.units, model, server.settings)
        async with at_work(server, len(sequence) / frames_per_second(model.about.units)):
            spoken = await server.graph.speak(sequence, order, wanted.full)
        if not answers.wants_json(request):
            return answers.wav(spoken.waveform)
        return JSONResponse(answers.spoken_fields(spoken, order))


def add_status(app: FastAPI, server: Server) -> None:
    """Add the routes that tell what the server is and does."""

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        """Tell what this server translates."""
        described = [
            {
                "name": model.name,
                "kind": model.about.kind,
                "directions": model.about.directions,
                "languages": model.voices,
                "units": model.about.units,
            }
            for model in server.models.values()
        ]
        settings = server.settings
        limits = {"bytes": settings.max_bytes, "seconds": settings.max_seconds}
        limits |= {"stream_bytes": settings.max_stream_bytes, "stream_seconds": settings.max_stream_seconds}
        return {"models": described, "limits": limits, "refused": server.refused}

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        """Tell that the server answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def ready() -> dict[str, Any]:
        """Tell that all models answer; 503 if not."""
        try:
            await within(server, server.graph.warm(server.models))
        except UserError:  # who asks need show no key, and is not told of folders
            raise ModelLostError from None
        return {"status": "ok", "models": list(server.models)}


def add_error_handlers(app: FastAPI) -> None:
    """Tell what is wrong in one sentence, with the status that says whose fault it is."""

    @app.exception_handler(UserError)
    async def mistake(asked: HTTPConnection, error: Exception) -> Response | None:
        if isinstance(asked, WebSocket):
            return await refuse(asked, sentence_of(error))
        return refusal(422, sentence_of(error))

    @app.exception_handler(ServiceError)
    async def failed_elsewhere(request: Request, error: Exception) -> Response:
        return refusal(502, sentence_of(error))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: Exception) -> Response:
        return refusal(422, complaint(error))  # type: ignore[arg-type]

    @app.exception_handler(WebSocketRequestValidationError)
    async def malformed_call(socket: WebSocket, error: Exception) -> None:
        await refuse(socket, complaint(error))  # type: ignore[arg-type]

    @app.exception_handler(TimeoutError)
    async def slow(request: Request, error: Exception) -> Response:
        return refusal(504, sentence_of(error))

    async def busy(request: Request, error: Exception) -> Response:
        return refusal(503, sentence_of(error), **{"Retry-After": str(RETRY_SECONDS)})

    for kind in BUSY:
        app.add_exception_handler(kind, busy)


def complaint(error: ValidationException) -> str:
    """Tell the first thing that is wrong, without what was sent: the answer must not grow with the request."""
    first = error.errors()[0]
    where, name = first["loc"][0], first["loc"][-1]
    if first["type"] == "json_invalid":
        return "the body is not valid JSON; correct it and send it again"
    if first["loc"] == ("body",):  # there is none, it is not said to be JSON, or it is a list
        return "send a JSON object, with the header Content-Type: application/json"
    if first["type"] == "missing" and where == "query":
        return f"'{name}' is missing; add it to the address, as in ?{name}=..."
    if first["type"] == "missing":
        return f"'{name}' is missing in the body"
    place = ".".join(map(str, first["loc"][1:]))[:MOST_NAMED]
    rule = first["msg"].removeprefix("Input ").partition(", unable to ")[0]
    return f"'{place}' in the {'address' if where == 'query' else where}: {rule[:1].lower()}{rule[1:]}"


def refusal(status: int, text: str, **headers: str) -> JSONResponse:
    """Answer with one sentence; halves of characters, which JSON may hold and UTF-8 not, are replaced."""
    return JSONResponse({"detail": text.encode("utf-8", "replace").decode()}, status, headers=headers)


def in_parts(server: Server, name: str | None) -> Model:
    """Give the model of that name, or the first one, of those that make units; raises UserError if there is none."""
    known = {model.name: model for model in server.models.values() if model.in_parts}
    if not known or (name is not None and name not in known):
        raise UserError(f"there is no model '{name}' that makes units" if known else "no model here makes units")
    return known[name] if name is not None else next(iter(known.values()))


def check_sequence(units: list[int], model: Model, settings: ServeSettings) -> np.ndarray:
    """Give units as an array (L,), int32; raises UserError for ones that the model does not have, or too many."""
    rate, most = frames_per_second(model.about.units), model.about.num_units
    if len(units) > settings.max_seconds * rate:
        raise HTTPException(413, f"{len(units)} units are too many; send at most {int(settings.max_seconds * rate)}")
    if min(units) < 0 or max(units) >= most:
        raise UserError(f"units go from 0 to {most - 1} in model '{model.name}'; others were sent")
    return np.array(units, np.int32)
