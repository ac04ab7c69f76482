"""Speech that comes in a request: a form with a file, or a body that is the file."""

import asyncio

import numpy as np
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

from s2st import audio
from serve.settings import ServeSettings

FILE = {"type": "string", "format": "binary"}
BODY = {  # of OpenAPI, for what FastAPI cannot tell from a signature
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": {"file": FILE}}},
            "audio/*": {"schema": FILE},
        },
    }
}


async def read_speech(request: Request, settings: ServeSettings) -> np.ndarray:
    """Give the waveform (N,) of a request; raises HTTPException for what is too large, too long or no speech."""
    try:
        return await asyncio.to_thread(audio.decode, await read_body(request), settings.max_seconds)
    except audio.AudioError as error:
        raise HTTPException(415, str(error)) from None


async def read_body(request: Request) -> bytes:
    """Give the bytes of the file; its name and type are not looked at."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await request.body()
    async with request.form(max_files=1, max_fields=16) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(422, "send the recording as the field 'file' of the form, or as the body itself")
        return await file.read()
