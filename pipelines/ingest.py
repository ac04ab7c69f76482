"""Bring a corpus into the project: decode, convert to 16 kHz mono FLAC, and set aside what is no speech."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data

from s2st import audio, storage
from s2st.config import UserError
from s2st.corpora.corpus import Recording
from s2st.corpora.fleurs import Fleurs, FleursConfig
from s2st.corpora.folder import Folder, FolderConfig
from s2st.corpora.phrasebook import Phrasebook, PhrasebookConfig
from s2st.corpora.s2s import S2s, S2sConfig
from s2st.corpora.sample import Sample, SampleConfig
from s2st.corpora.tsv import Tsv, TsvConfig
from s2st.schemas import MANIFEST
from stages import datasets
from stages.run import main
from stages.stage import Counts, Stage, Step, resource

CORPORA = ("phrasebook", "fleurs", "sample", "folder", "tsv", "s2s")
TABLE_BYTES = 16 << 20  # of recordings that a worker holds at once: a quarter of an hour of speech


@dataclass(frozen=True)
class IngestConfig:
    phrasebook: PhrasebookConfig | None = None  # exactly one of these six
    fleurs: FleursConfig | None = None
    sample: SampleConfig | None = None
    folder: FolderConfig | None = None
    tsv: TsvConfig | None = None
    s2s: S2sConfig | None = None
    max_workers: int = resource(8)  # shards read at once

    def __post_init__(self) -> None:
        given = [name for name in CORPORA if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one corpus of {', '.join(CORPORA)}, found {given or 'none'}")

    @property
    def corpus(self) -> Any:
        """The corpus that the settings describe."""
        if self.phrasebook is not None:
            return Phrasebook(self.phrasebook)
        if self.fleurs is not None:
            return Fleurs(self.fleurs)
        if self.sample is not None:
            return Sample(self.sample)
        if self.tsv is not None:
            return Tsv(self.tsv)
        if self.s2s is not None:
            return S2s(self.s2s)
        assert self.folder is not None
        return Folder(self.folder)


class ShardReader:
    """Reads one shard of a corpus into manifest rows; rejects go beside the output."""

    def __init__(self, corpus: Any, output: str):
        self.corpus, self.output = corpus, output

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[pa.Table]:
        """Read the shard in `batch["item"]`, some rows at a time."""
        rows: list[dict[str, Any]] = []
        rejects: list[dict[str, Any]] = []
        held = 0
        for shard in batch["item"]:
            for recording in self.corpus.read(shard):
                row = manifest_row(recording)
                if "reason" in row:
                    rejects.append(row)
                    continue
                rows.append(row)
                held += len(row["audio"]["bytes"])
                if held >= TABLE_BYTES:
                    yield pa.Table.from_pylist(rows, schema=MANIFEST)
                    rows, held = [], 0
        datasets.set_aside(rejects, self.output)
        yield pa.Table.from_pylist(rows, schema=MANIFEST)


def manifest_row(recording: Recording) -> dict[str, Any]:
    """Make the MANIFEST row of a recording, or the REJECTS row that says why it has none."""
    row: dict[str, Any] = {
        "utterance_id": recording.utterance_id,
        "lang": recording.lang,
        "split": recording.split,
    }
    if recording.reject:
        return {**row, "reason": recording.reject}
    try:
        waveform = audio.decode(recording.audio)
    except audio.AudioError as error:
        return {**row, "reason": str(error)}
    return {
        **row,
        "sentence_id": recording.sentence_id,
        "speaker": recording.speaker,
        "text": recording.text,
        "audio": {"bytes": audio.encode(waveform), "path": f"{recording.utterance_id}.flac"},
        "num_samples": len(waveform),
    }


def run(config: IngestConfig, step: Step) -> Counts:
    """Read every shard of the corpus on the workers and write the manifest."""
    corpus = config.corpus
    shards = corpus.shards()
    reader = ShardReader(corpus, step.output)
    rows = ray.data.from_items(shards, override_num_blocks=len(shards)).map_batches(
        reader, batch_size=1, compute=ray.data.TaskPoolStrategy(size=config.max_workers)
    )
    datasets.write(rows, step.output)
    table = datasets.read_table(step.output, MANIFEST, ["utterance_id", "num_samples"])
    _check_unique(table["utterance_id"], step.output)
    rows_in, num_rejects = sum(shard.rows for shard in shards), len(datasets.rejects(step.output))
    datasets.check_nothing_lost(step.output, rows_in, len(table), num_rejects)
    hours = sum(table["num_samples"].to_pylist()) / audio.SAMPLE_RATE / 3600
    return Counts(rows_in, len(table), num_rejects, round(hours, 4))


def check(config: IngestConfig, step: Step) -> None:
    """Raise UserError if the corpus is not where the settings say, or something is wrong in it as a whole."""
    for name in ("fleurs", "folder", "s2s"):
        corpus = getattr(config, name)
        if corpus is not None and not on_the_hub(config):
            storage.need_folder(corpus.root, f"{step.name}.{name}.root")
    for file in config.tsv.files if config.tsv is not None else ():
        storage.need_file(file.path, f"{step.name}.tsv.files")
    if not on_the_hub(config):
        config.corpus.shards()


def check_inputs(config: IngestConfig, step: Step) -> None:
    """Raise UserError for what is wrong in a corpus on the hub: listing it takes a while, and the network."""
    if on_the_hub(config):
        config.corpus.shards()


def on_the_hub(config: IngestConfig) -> bool:
    """Tell whether the corpus is fetched from Hugging Face."""
    return config.fleurs is not None and config.fleurs.root.startswith("hf://")


def _check_unique(identifiers: pa.ChunkedArray, folder: str) -> None:
    counts = identifiers.value_counts()
    repeated = [entry["values"] for entry in counts.to_pylist() if entry["counts"] > 1]
    if repeated:
        raise UserError(f"{folder}: the utterance '{repeated[0]}' comes twice in the corpus; give each its own name")


STAGE = Stage(IngestConfig, run, reads={}, check=check, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.ingest")
