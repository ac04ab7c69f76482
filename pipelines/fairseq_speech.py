"""Write pairs as fairseq's speech_to_speech task reads them: see s2st.fairseq.speech_to_speech.

s2ut/<from>-<to>/       recordings to units: config.yaml, dict.txt, train.tsv, ..., audio/
s2spect/<from>-<to>/    recordings to spectrograms: config.yaml, logmelspec80.zip, train.tsv, ..., audio/
"""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.fairseq_export import Export, grouped, rows_of
from s2st.fairseq.manifest import split_name
from s2st.fairseq.speech_config import CONFIG, read_config, write_config
from s2st.fairseq.speech_to_speech import mel_pairs, unit_pairs, write_s2spect, write_s2ut
from s2st.schemas import MANIFEST, PAIRS
from stages import datasets


class Recordings(Mapping[str, Mapping[str, Any]]):
    """Rows of a manifest by utterance_id, their audio in files: pairs come in any order, and memory is small."""

    def __init__(self, manifest: str, folder: Path) -> None:
        self.files: dict[str, Path] = {}
        for batch in datasets.read_batches(manifest, MANIFEST, ["utterance_id", "audio"]):
            for row in batch.to_pylist():
                path = self.files[row["utterance_id"]] = folder / str(len(self.files))
                path.write_bytes(row["audio"]["bytes"])

    def __getitem__(self, utterance_id: str) -> Mapping[str, Any]:
        return {"utterance_id": utterance_id, "audio": {"bytes": self.files[utterance_id].read_bytes()}}

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def write_s2ut_folders(given: Export, folder: Path) -> int:
    """Write recordings to reduced units; pairs without units are set aside, since fairseq refuses them."""
    table, num_units = given.table("pairs", PAIRS)
    with recordings(given) as known:
        for path, splits in directions(given, table, folder):
            pairs = {split: unit_pairs(with_units(given, part), known) for split, part in splits.items()}
            write_s2ut(path, pairs, num_units, reduce=True)
            name_root(given, path)
    return len(table)


def write_s2spect_folders(given: Export, folder: Path) -> int:
    """Write recordings to the log-mel spectrograms of their targets."""
    table, _ = given.table("pairs", PAIRS)
    with recordings(given) as known:
        for path, splits in directions(given, table, folder):
            write_s2spect(path, {split: mel_pairs(rows_of(part), known) for split, part in splits.items()})
            name_root(given, path)
    return len(table)


@contextlib.contextmanager
def recordings(given: Export) -> Iterator[Recordings]:
    """Give the recordings of the manifest, for as long as they are needed."""
    with tempfile.TemporaryDirectory(prefix="s2st-") as folder:
        yield Recordings(given.step.input("manifest"), Path(folder))


def directions(given: Export, table: pa.Table, folder: Path) -> Iterator[tuple[Path, dict[str, pa.Table]]]:
    """Yield the folder of each direction, and its pairs by fairseq's name of the split."""
    for (source, target), part in grouped(table, ("source_lang", "target_lang")):
        yield folder / f"{source}-{target}", {split_name(key[0]): rows for key, rows in grouped(part, ("split",))}


def with_units(given: Export, table: pa.Table) -> Iterator[dict[str, Any]]:
    """Yield the pairs whose target has units, and set the others aside."""
    rejects = []
    for row in rows_of(table):
        if len(row["target_units"]):
            yield row
        else:
            reason = "the target has no units"
            rejects.append({**row, "utterance_id": row["pair_id"], "lang": row["source_lang"], "reason": reason})
    datasets.set_aside(rejects, given.step.output)


def name_root(given: Export, path: Path) -> None:
    """Name in config.yaml the folder where the files end up, which may be another than where they are written."""
    root = f"{given.step.output}/{path.relative_to(given.folder)}"
    write_config(path / CONFIG, dataclasses.replace(read_config(path / CONFIG), audio_root=root))
