"""Our side of the benchmarks, without Ray; each part is a process of its own.

python -m benchmarks.ours fit FEATURES OUT NUM_UNITS           k-means on frames that are there
python -m benchmarks.ours codebook CENTROIDS OUT KIND [ENCODER LAYER]
python -m benchmarks.ours dump WAVS CODEBOOK OUT fp32|bf16     recordings -> units
python -m benchmarks.ours compare UNITS PEER                   prints the share of equal units as JSON
python -m benchmarks.ours precisions                           prints what `dump` can do on this processor as JSON
python -m benchmarks.ours inertia FEATURES CENTROIDS           prints the mean squared distance as JSON
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

SHARD_SECONDS = 80.0  # of speech at once, as a worker of dump_units takes
FRAMES_AT_ONCE = 10_000


def fit(features: str, output: str, num_units: str) -> None:
    """Fit centroids to features (N, D) of a file, with the defaults of the stage; write them as .npy."""
    from pipelines.fit_codebook import FitCodebookConfig
    from s2st.models import kmeans

    config = FitCodebookConfig()
    frames = np.load(features)
    clustering = kmeans.fit(frames, int(num_units), config.iterations, config.seed)
    np.save(output, clustering.centroids)


def codebook(centroids: str, output: str, kind: str, encoder: str = "", layer: str = "0") -> None:
    """Make a codebook folder of centroids that fairseq fitted."""
    from s2st.fairseq import codebooks
    from s2st.feature_extractor import FeatureExtractor, FeaturesConfig, load_encoder
    from s2st.speech_to_units import SpeechToUnits

    config = FeaturesConfig(kind, int(layer))  # type: ignore[arg-type]
    model = load_encoder(encoder, config) if encoder else None
    SpeechToUnits(FeatureExtractor(config, model), codebooks.read(centroids)).save(output, {})


def dump(wavs: str, codebook: str, output: str, precision: str) -> None:
    """Write units of all recordings below a folder as one Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from s2st.schemas import UNITS
    from s2st.speech_to_units import SpeechToUnits
    from s2st.units import reduce

    speech_to_units = SpeechToUnits.load(codebook, bf16=precision == "bf16")
    with pq.ParquetWriter(output, UNITS, compression="zstd") as writer:
        for paths, waveforms in shards(Path(wavs)):
            rows = [
                {
                    "utterance_id": path,
                    "units": units,
                    "durations": reduce(units)[1],
                    "num_samples": len(waveform),
                    **speech_to_units.origin,
                }
                for path, waveform, units in zip(paths, waveforms, speech_to_units(waveforms), strict=True)
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=UNITS))


def shards(wavs: Path) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Decode recordings, some minutes at a time: paths below the folder, and waveforms."""
    from s2st import audio

    paths: list[str] = []
    waveforms: list[np.ndarray] = []
    seconds = 0.0
    for path in sorted(wavs.rglob("*.wav")):
        waveform = audio.decode(path.read_bytes())
        if paths and seconds + len(waveform) / audio.SAMPLE_RATE > SHARD_SECONDS:
            yield paths, waveforms
            paths, waveforms, seconds = [], [], 0.0
        paths.append(str(path.relative_to(wavs)))
        waveforms.append(waveform)
        seconds += len(waveform) / audio.SAMPLE_RATE
    if paths:
        yield paths, waveforms


def precisions() -> None:
    """Tell the precisions that this processor has."""
    import torch

    from s2st.precision import has_bf16

    print(json.dumps(["fp32", "bf16"] if has_bf16(torch.device("cpu")) else ["fp32"]))


def compare(units: str, peer: str) -> None:
    """Compare units with fairseq's labels of the same centroids; a frame that is missing is not equal."""
    import pyarrow.parquet as pq

    table = pq.read_table(units, columns=["utterance_id", "units"]).to_pylist()
    ours = {row["utterance_id"]: np.array(row["units"]) for row in table}
    paths = [line.split("\t")[0] for line in Path(peer, "train.tsv").read_text().splitlines()[1:]]
    lines = Path(peer, "labels", "train_0_1.km").read_text().splitlines()
    equal = frames = 0
    for path, line in zip(paths, lines, strict=True):
        expected, found = np.array(line.split(), int), ours[path]
        length = min(len(expected), len(found))
        equal += int((expected[:length] == found[:length]).sum())
        frames += max(len(expected), len(found))
    print(json.dumps({"equal": equal / frames, "frames": frames}))


def inertia(features: str, centroids: str) -> None:
    """Give the mean squared distance of frames (N, D) to their nearest centroids."""
    import torch

    from s2st.fairseq import codebooks

    codebook, frames = codebooks.read(centroids), np.load(features, mmap_mode="r")
    total = 0.0
    with torch.inference_mode():
        for start in range(0, len(frames), FRAMES_AT_ONCE):
            part = torch.from_numpy(np.array(frames[start : start + FRAMES_AT_ONCE]))
            total += float((part - codebook.centroids[codebook(part)]).double().square().sum())
    print(json.dumps({"inertia": total / len(frames)}))


if __name__ == "__main__":
    {part.__name__: part for part in (fit, codebook, dump, precisions, compare, inertia)}[sys.argv[1]](*sys.argv[2:])
