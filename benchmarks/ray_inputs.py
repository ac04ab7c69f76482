"""Make the inputs of dump_units: python -m benchmarks.ray_inputs FOLDER HOURS base|small [lang=FILE ...]."""

import json
import sys
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.prepare import human, spoken
from s2st import audio
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.speech_encoder import EncoderConfig, SpeechEncoder
from s2st.schemas import MANIFEST
from s2st.speech_to_units import SpeechToUnits
from stages.stage import MADE_BY

NUM_UNITS = 100
ROWS_PER_FILE = 256
SMALL = EncoderConfig(
    conv_layers=((64, 10, 5), *((64, 3, 2),) * 4, *((64, 2, 2),) * 2),
    width=192,
    num_layers=4,
    num_heads=4,
    ffn_dim=768,
    positional_kernel=32,
)


def manifest_rows(texts: dict[str, Path], hours: float) -> Iterator[dict]:
    """Give rows of a manifest until there are so many hours; speech begins again where there is too little."""
    speech = chain.from_iterable(spoken(texts) if texts else human() for _ in repeat(None))
    seconds = 0.0
    for number, (lang, waveform) in enumerate(speech):
        yield {
            "utterance_id": f"u{number:06d}",
            "sentence_id": f"s{number:06d}",
            "lang": lang,
            "split": "train",
            "speaker": lang,
            "text": "",
            "audio": {"bytes": audio.encode(waveform), "path": ""},
            "num_samples": len(waveform),
        }
        seconds += len(waveform) / audio.SAMPLE_RATE
        if seconds >= hours * 3600:
            return


def write_manifest(folder: Path, rows: Iterator[dict]) -> list[dict]:
    """Write files of a manifest; gives the rows of the first one."""
    folder.mkdir()
    first: list[dict] = []
    part: list[dict] = []
    for row in chain(rows, [None]):
        if row is None or len(part) == ROWS_PER_FILE:
            table = pa.Table.from_pylist(part, schema=MANIFEST)
            pq.write_table(table, folder / f"{part[0]['utterance_id']}.parquet", compression="zstd")
            first, part = first or part, []
        if row is not None:
            part.append(row)
    return first


def write_codebook(folder: Path, rows: list[dict], encoder: str) -> None:
    """Write a codebook whose centroids are frames of some rows."""
    torch.manual_seed(0)
    config, layer = (EncoderConfig(), 6) if encoder == "base" else (SMALL, 4)
    extractor = FeatureExtractor(FeaturesConfig("hubert", layer), SpeechEncoder(config).eval())
    frames = np.concatenate(extractor([audio.decode(row["audio"]["bytes"]) for row in rows[:20]]))
    codebook = Codebook(CodebookConfig(NUM_UNITS, config.width))
    codebook.centroids.copy_(torch.from_numpy(np.random.default_rng(0).choice(frames, NUM_UNITS, replace=False)))
    SpeechToUnits(extractor, codebook).save(str(folder), {})


def main() -> None:
    """Write manifest and codebook, with the records that make them outputs of steps."""
    folder, hours, encoder = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    texts = {lang: Path(path) for lang, _, path in (text.partition("=") for text in sys.argv[4:])}
    rows = write_manifest(folder / "manifest", manifest_rows(texts, hours))
    write_codebook(folder / "codebook", rows, encoder)
    for name in ("manifest", "codebook"):
        (folder / name / MADE_BY).write_text(json.dumps({"fingerprint": name, "date": ""}))


if __name__ == "__main__":
    main()
