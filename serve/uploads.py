"""Speech that comes in a request: a form with a file, or a body that is the file."""

import asyncio
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

import numpy as np
from fastapi import HTTPException, Request
from starlette.datastructures import FormData, UploadFile

from s2st import audio
from serve.settings import ServeSettings

MOST_HELD = 1 << 20  # bytes of a body that memory holds; the disk has what is longer
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
    return await decode_speech(await read_body(request), settings)


async def decode_speech(data: bytes, settings: ServeSettings) -> np.ndarray:
    """Give the waveform (N,) of a file; raises HTTPException for what is too long or no speech."""
    try:
        return await asyncio.to_thread(audio.decode, data, settings.max_seconds)
    except audio.LongError as error:
        raise HTTPException(415, f"{error}, or send it to /v1/translate with stream=true") from None
    except audio.AudioError as error:
        raise HTTPException(415, str(error)) from None


async def read_body(request: Request) -> bytes:
    """Give the bytes of the file; its name and type are not looked at."""
    if not is_form(request):
        return await request.body()
    async with request.form(max_files=1, max_fields=16) as form:
        return await sent_file(form).read()


async def spool(request: Request) -> BinaryIO:
    """Give the file of a request as one on the disk, which is gone once it is closed; memory holds a small one only."""
    if is_form(request):
        return cast(BinaryIO, sent_file(await request.form(max_files=1, max_fields=16)).file)
    file = SpooledTemporaryFile(MOST_HELD)  # noqa: SIM115 - the caller closes it
    async for part in request.stream():
        await asyncio.to_thread(file.write, part)
    file.seek(0)
    return cast(BinaryIO, file)


def is_form(request: Request) -> bool:
    """Tell whether the body is a form."""
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def sent_file(form: FormData) -> UploadFile:
    """Give the file of a form; raises HTTPException if there is none."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise HTTPException(422, "send the recording as the field 'file' of the form, or as the body itself")
    return file
