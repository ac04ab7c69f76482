"""wav to units with the classes of ingest, fit_codebook and dump_units, in one process without Ray.

python -m benchmarks.one_process WAVS OUTPUT mfcc|hubert NUM_UNITS [--encoder FOLDER --layer 6]
The last line of what it prints is JSON: CPU-seconds of each part.
"""

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.dump_units import CARRIED, DumpUnitsConfig, UnitDumper
from pipelines.fit_codebook import Features, FitCodebookConfig, fit
from pipelines.ingest import ShardReader
from s2st import checkpoint
from s2st.corpora.folder import Folder, FolderConfig
from s2st.schemas import MANIFEST
from s2st.speech_to_units import FeatureExtractor, FeaturesConfig, SpeechToUnits
from stages import datasets


class Stopwatch:
    """Counts the CPU-seconds of parts that follow each other; the first one began with the process."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.last = 0.0

    def stop(self, part: str) -> None:
        """Book what was used since the last stop."""
        now = time.process_time()
        self.parts[part], self.last = now - self.last, now


def ingest(wavs: str, output: str) -> None:
    """Write the manifest of a folder of recordings."""
    corpus = Folder(FolderConfig(wavs))
    reader = ShardReader(corpus, output)
    tables = [table for shard in corpus.shards() for table in reader({"item": np.array([shard], dtype=object)})]
    datasets.write_table(pa.concat_tables(tables), output)


def batches(manifest: str, columns: list[str]) -> Iterator[pa.Table]:
    """Read a manifest in the batches that the stages use."""
    table = datasets.read_table(manifest, MANIFEST, columns)
    rows = DumpUnitsConfig.batch_rows
    for start in range(0, len(table), rows):
        yield table.slice(start, rows)


def sample_frames(manifest: str, config: FitCodebookConfig, encoder: str | None) -> np.ndarray:
    """Give all frames (N, D) of the manifest: a benchmark's are fewer than the stage samples."""
    features = Features(config.features, encoder, config.batch_seconds)
    return np.concatenate([features(batch)["frame"] for batch in batches(manifest, ["audio"])])


def save_codebook(frames: np.ndarray, config: FitCodebookConfig, encoder: str | None, output: str) -> None:
    """Fit a codebook and write it with what the stage tells of it."""
    codebook, clustering = fit(config, frames, "benchmark")
    model = checkpoint.load(encoder, "hubert")[0] if encoder else None
    used = len(np.unique(clustering.units))
    info = {"num_frames": len(frames), "inertia": clustering.inertias[-1], "used_units": used}
    SpeechToUnits(FeatureExtractor(config.features, model), codebook).save(output, info)


def dump(manifest: str, codebook: str, output: str) -> None:
    """Write the units of a manifest."""
    dumper = UnitDumper(codebook, output, DumpUnitsConfig.batch_seconds)
    datasets.write_table(pa.concat_tables([dumper(batch) for batch in batches(manifest, [*CARRIED, "audio"])]), output)


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Make the command line of our side."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("wavs")
    parser.add_argument("output")
    parser.add_argument("kind", choices=["mfcc", "hubert"])
    parser.add_argument("num_units", type=int)
    parser.add_argument("--encoder")
    parser.add_argument("--layer", type=int, default=0)
    return parser


def main() -> None:
    """Run the chain and print where the time went."""
    arguments = argument_parser(__doc__).parse_args()
    config = FitCodebookConfig(FeaturesConfig(arguments.kind, arguments.layer), arguments.num_units)
    manifest, codebook, units = (f"{arguments.output}/{name}" for name in ("manifest", "codebook", "units"))

    stopwatch = Stopwatch()
    stopwatch.stop("imports")
    ingest(arguments.wavs, manifest)
    stopwatch.stop("ingest")
    frames = sample_frames(manifest, config, arguments.encoder)
    stopwatch.stop("fit: features")
    save_codebook(frames, config, arguments.encoder, codebook)
    stopwatch.stop("fit: k-means")
    dump(manifest, codebook, units)
    stopwatch.stop("dump")
    print(json.dumps(stopwatch.parts))


if __name__ == "__main__":
    main()
