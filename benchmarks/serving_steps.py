"""What the serving benchmark does in processes of their own, on one thread: the models without Ray.

python -m benchmarks.serving_steps make FOLDER             models of the demo's sizes, random weights, and recordings
python -m benchmarks.serving_steps alone FOLDER            the recordings whose numbers it reads: their seconds
python -m benchmarks.serving_steps batched FOLDER SIZE N   N recordings in batches: a second's worth of them
python -m benchmarks.serving_steps peer FOLDER PORT        plain FastAPI with a pool of threads
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

NUM_CLIPS = 8
SHORTEST, LONGEST = 2.0, 4.0  # seconds of a recording, as phrases of the demo have
BEAM = 5


def make(folder: str) -> None:
    """Write a model folder, whose centroids are features of speech, and recordings of the sample as WAV."""
    import torch

    from s2st import checkpoint, storage
    from s2st.config import build
    from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
    from s2st.models.codebook import Codebook, CodebookConfig
    from s2st.models.hubert import Hubert, HubertConfig
    from s2st.models.unit_transformer import UnitTransformer, UnitTransformerConfig
    from s2st.models.unit_vocos import UnitVocos, UnitVocosConfig
    from s2st.speech_to_units import SpeechToUnits

    torch.manual_seed(0)
    sizes = recipe()
    waveforms = [waveform for waveform, _ in clips(folder, write=True)]
    features = FeaturesConfig("hubert", layer=4, smoothing=3)
    encoder = Hubert(build(HubertConfig, {**sizes["hubert"], "num_classes": 100}, "hubert")).eval()
    extractor = FeatureExtractor(features, encoder)
    frames = torch.cat([torch.from_numpy(found) for found in extractor(waveforms)])
    codebook = Codebook(CodebookConfig(num_units=100, feature_dim=frames.shape[1]))
    codebook.centroids.copy_(frames[torch.randperm(len(frames))[:100]])
    speech_to_units = SpeechToUnits(extractor, codebook)
    speech_to_units.save(f"{folder}/codebook", {})
    units, directions = speech_to_units.fingerprint, ["en-hi", "hi-en"]
    translator = {**sizes["translator"], "num_units": 100, "languages": ["en", "hi"]}
    model = UnitTransformer(build(UnitTransformerConfig, translator, "translator"))
    checkpoint.save(f"{folder}/translator", model, {"units": units, "directions": directions})
    for lang in ("en", "hi"):
        vocoder = UnitVocos(build(UnitVocosConfig, {**sizes["vocos"], "num_units": 100}, "vocos"))
        checkpoint.save(f"{folder}/vocoders/{lang}", vocoder, {"units": units, "languages": [lang]})
    described = {"units": units, "directions": directions, "vocoders": {"en": "en", "hi": "hi"}}
    storage.write_json(f"{folder}/model.json", described)


def recipe() -> dict[str, Any]:
    """Read the sizes of the demo's models."""
    from s2st.config import load_recipe

    demo = load_recipe(Path(__file__).parents[1] / "recipes" / "demo.yaml")
    return {
        "hubert": demo["hubert_2"]["model"],
        "translator": demo["translator"]["model"],
        "vocos": demo["vocoder_en"]["vocos"],
    }


def clips(folder: str, write: bool = False) -> list[tuple[Any, bytes]]:
    """Give the waveforms (N,) of recordings and the WAVs, which `make` takes from the shipped sample."""
    import pyarrow.parquet

    from s2st import audio
    from s2st.corpora.sample import Sample, SampleConfig

    if write:
        table = pyarrow.parquet.read_table(f"{Sample(SampleConfig()).root}/en_us/test/0000.parquet", columns=["audio"])
        waveforms = [audio.decode(recording["bytes"]) for recording in table["audio"].to_pylist()]
        fitting = [one for one in waveforms if SHORTEST <= len(one) / audio.SAMPLE_RATE <= LONGEST][:NUM_CLIPS]
        for number, waveform in enumerate(fitting):
            Path(folder, f"{number}.wav").write_bytes(audio.encode(waveform, "WAV"))
    wavs = [path.read_bytes() for path in sorted(Path(folder).glob("*.wav"))]
    return [(audio.decode(wav), wav) for wav in wavs]


def load(folder: str) -> Callable[[Sequence[bytes]], list[bytes]]:
    """Read the models, and give what turns recordings into translated ones, as the server does."""
    import torch

    from s2st import audio
    from s2st.beam_search import SearchOptions
    from s2st.translator import Translator

    torch.set_num_threads(1)
    translator = Translator.load(folder)

    def translate(wavs: Sequence[bytes]) -> list[bytes]:
        waveforms = [audio.decode(wav) for wav in wavs]
        found = translator.translate_batch(waveforms, ["en"] * len(wavs), "hi", SearchOptions(beam=BEAM))
        return [audio.encode(one.waveform, "WAV") for one in found]

    return translate


def alone(folder: str) -> None:
    """Translate the recordings whose numbers are read, and write how long each took."""
    translate, wavs = load(folder), [wav for _, wav in clips(folder)]
    translate(wavs[:1])
    for line in sys.stdin:
        print(_timed(translate, [wavs[int(line)]]), flush=True)


def batched(folder: str, size: int, count: int) -> dict[str, Any]:
    """Translate recordings in batches."""
    translate, wavs = load(folder), [wav for _, wav in clips(folder)]
    todo = [wavs[index % len(wavs)] for index in range(count)]
    translate(wavs[:1])
    seconds = sum(_timed(translate, todo[start : start + size]) for start in range(0, count, size))
    return {"rate": count / seconds}


def _timed(translate: Callable[[Sequence[bytes]], list[bytes]], wavs: Sequence[bytes]) -> float:
    start = time.perf_counter()
    translate(wavs)
    return time.perf_counter() - start


def peer(folder: str, port: int) -> None:
    """Serve the models by FastAPI alone: a request is a thread of its pool."""
    import uvicorn
    from fastapi import Body, FastAPI, Response

    translate, app = load(folder), FastAPI()

    @app.post("/v1/translate")
    def answer(body: bytes = Body(media_type="audio/wav")) -> Response:
        return Response(translate([body])[0], media_type="audio/wav")

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ok"}

    uvicorn.run(app, port=port, log_level="error")


def main() -> None:
    """Do one part."""
    part, folder, *sizes = sys.argv[1:]
    parts: dict[str, Callable[..., Any]] = {"make": make, "alone": alone, "batched": batched, "peer": peer}
    if (found := parts[part](folder, *map(int, sizes))) is not None:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
