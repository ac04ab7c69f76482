"""The translation graph behind HTTP: gateway -> encoder -> translator -> vocoder.

python -m serve runs/demo/model, or on a cluster: serve run serve.app:build model=s3://BUCKET/model
"""

import asyncio
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request, Response, UploadFile
from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.handle import DeploymentHandle

from s2st import audio, checkpoint, storage
from s2st.config import UserError
from s2st.translator import pick_source, read_model_folder
from serve.deployments import CPUS, SpeechEncoder, UnitTranslator, UnitVocoder

MAX_BYTES = 10 << 20  # of an uploaded file
MAX_SECONDS = 50.0  # of speech in one request: fewer units than the 3,000 positions of a translator
TIMEOUT_SECONDS = 60.0  # that a request may take

api = FastAPI(title="Speech-to-speech translation", version="1")


@api.middleware("http")
async def refuse_large_bodies(request: Request, call_next: Any) -> Response:
    """Answer 413 to a body that says it is too large, and 411 to one that does not say, before it is read."""
    length = request.headers.get("content-length", "")
    if request.method == "POST" and not length.isdigit():
        return Response("send a file, with its length (Content-Length)", 411)
    if length.isdigit() and int(length) > MAX_BYTES + (64 << 10):  # the form around the file is small
        return Response(f"the file is larger than {MAX_BYTES >> 20} MB; send a shorter recording", 413)
    return await call_next(request)


@serve.deployment(
    ray_actor_options={"num_cpus": CPUS},
    max_ongoing_requests=32,
    max_queued_requests=32,
    backpressure_config=BackpressureConfig(status_code=503, retry_after_s=2),
)
@serve.ingress(api)
class Gateway:
    """Parses requests, calls the models, answers with audio."""

    def __init__(self, model: str, encoder: DeploymentHandle, translator: DeploymentHandle, vocoder: DeploymentHandle):
        self.model = read_model_folder(model)
        self.encoder, self.translator, self.vocoder = encoder, translator, vocoder

    @api.post("/translate", response_class=Response, responses={200: {"content": {"audio/wav": {}}}})
    async def translate(
        self,
        file: UploadFile,
        to: str = Query(description="language to translate to, such as hi"),
        source: str | None = Query(None, alias="from", description="language spoken; needed if there are several"),
    ) -> Response:
        """Translate an audio file; answers with WAV, 16 kHz, mono."""
        try:
            source = pick_source(self.model["directions"], set(self.model["vocoders"]), to, source)
        except UserError as error:
            raise HTTPException(422, str(error)) from None
        waveform = await self._read(file)
        # Un-awaited answers go straight from one model to the next, not through this process.
        units = self.encoder.remote(waveform)
        translated = self.translator.remote(units, source, to)
        try:
            speech = await asyncio.wait_for(self.vocoder.remote(translated, to), TIMEOUT_SECONDS)
        except TimeoutError:
            raise HTTPException(504, f"the translation took longer than {TIMEOUT_SECONDS:.0f} s") from None
        return Response(audio.encode(speech, "WAV"), media_type="audio/wav")

    @api.get("/models")
    def models(self) -> dict[str, Any]:
        """Tell what this server translates."""
        return {"directions": self.model["directions"], "units": self.model["units"]}

    @api.get("/healthz")
    def health(self) -> dict[str, str]:
        """Tell that the server answers."""
        return {"status": "ok"}

    async def _read(self, file: UploadFile) -> np.ndarray:
        data = await file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise HTTPException(413, f"the file is larger than {MAX_BYTES >> 20} MB; send a shorter recording")
        try:
            return await asyncio.to_thread(audio.decode, data, MAX_SECONDS)
        except audio.AudioError as error:
            raise HTTPException(415, str(error)) from None


def build(arguments: dict[str, Any]) -> serve.Application:
    """Bind the graph to the model folder `arguments["model"]`; `beam` may be given too."""
    unknown = set(arguments) - {"model", "beam"}
    if unknown:
        raise UserError(f"unknown argument '{unknown.pop()}'; known: model, beam")
    model = storage.absolute(arguments.get("model", "runs/demo/model"))
    # mistakes are told now, not by a replica that dies
    read_model_folder(model)
    kind = checkpoint.read_config(f"{model}/translator", *checkpoint.TRANSLATORS)["model"]
    if kind != "unit_transformer":
        raise UserError(f"{model} holds a {kind}, but only a unit_transformer is served; try: python -m s2st translate")
    beam = int(arguments.get("beam", 5))
    return Gateway.bind(model, SpeechEncoder.bind(model), UnitTranslator.bind(model, beam), UnitVocoder.bind(model))
