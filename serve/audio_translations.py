"""Translation as clients of OpenAI's audio API ask for it. Units stand where there would be text."""

import time
from typing import Annotated, Literal

from fastapi import FastAPI, File, Form, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import Field

from s2st.audio import SAMPLE_RATE
from serve import answers
from serve.errors import REFUSALS
from serve.requests import MOST_NAMED, Server, at_work, make_order
from serve.uploads import decode_speech

DEFAULT_TO = "en"  # as OpenAI's translates to English only


class AudioTranslation(answers.TranslationAnswer):
    """What such clients read is `text`; the rest is as everywhere."""

    text: str = Field(description="units of the translation, with spaces between")


def add_audio_translations(app: FastAPI, server: Server) -> None:
    """Add the route."""

    @app.post(
        "/v1/audio/translations",
        responses=REFUSALS | {200: {"content": {answers.WAV: {}}, "description": "JSON, or WAV if it is asked for"}},
        response_model=AudioTranslation,
    )
    async def audio_translations(
        file: Annotated[UploadFile, File(description="recording; other fields of OpenAI's are not looked at")],
        model: Annotated[str, Form(max_length=MOST_NAMED, description="name of a model (GET /v1/models)")],
        response_format: Annotated[Literal["json", "wav"], Form()] = "json",
        to: Annotated[str | None, Form(max_length=MOST_NAMED, description="without it: en, or the only one")] = None,
        source: Annotated[str | None, Form(alias="from", max_length=MOST_NAMED, description="as everywhere")] = None,
    ) -> Response:
        """Translate a recording, in the shape of OpenAI's audio API."""
        start = time.perf_counter()
        order = make_order(server, to or default_to(server, model), source, model, None, None)
        waveform = await decode_speech(await file.read(), server.settings)
        decode_seconds = time.perf_counter() - start
        async with at_work(server, len(waveform) / SAMPLE_RATE):
            spoken = await server.graph.translate(waveform, order)
        if response_format == "wav":
            return answers.wav(spoken.waveform)
        fields = answers.translation(spoken, order, len(waveform), decode_seconds, time.perf_counter() - start)
        return JSONResponse({"text": " ".join(map(str, fields["units"])), **fields})


def default_to(server: Server, model: str) -> str:
    """Give the language that is meant where none is named; raises UserError if it is not clear."""
    meant = [server.models[model]] if model in server.models else server.models.values()
    spoken = {direction.split("-")[1] for known in meant for direction in known.about.directions}
    if DEFAULT_TO in spoken or len(spoken) != 1:
        return DEFAULT_TO
    return spoken.pop()
