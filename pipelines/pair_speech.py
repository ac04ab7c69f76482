"""Put the recordings of each pair beside its units, for models that translate speech itself.

A training reads its examples in one stream, but the two recordings of a pair lie far apart in the manifest. Pairs are
sorted by where their source lies, so that most row groups of a manifest are read once or twice.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import ray
import ray.data

from s2st import audio, storage
from s2st.config import UserError
from s2st.pairing import pair_directions
from s2st.schemas import MANIFEST, PAIRS, SPEECH_PAIRS
from stages import cluster, datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

ROWS_AT_ONCE = 128  # pairs of a task and of a row group
TAKEN = ("audio", "num_samples", "text")  # of the manifest
SIDES = ("source", "target")
KEPT = [name for name in SPEECH_PAIRS.names if name in PAIRS.names]


@dataclass(frozen=True)
class PairSpeechConfig:
    pass


def run(config: PairSpeechConfig, step: Step) -> Counts:
    """Join the pairs with the manifest on the data workers."""
    pairs = datasets.read_table(step.input("pairs"), PAIRS, KEPT)
    recordings, utterance_ids = open_manifest(step.input("manifest"))
    for side in SIDES:
        places = pc.index_in(pairs[f"{side}_utterance_id"], utterance_ids)
        pairs = pairs.append_column(f"{side}_place", places)
    if lost := sum(pairs[f"{side}_place"].null_count for side in SIDES):
        raise UserError(
            f"section '{step.name}': {lost} recordings of {step.input('pairs')} are not in {step.input('manifest')}; "
            "name the manifest that the units were made of"
        )
    split_and_place = pa.table(
        {"split": pairs["split"], "direction": pair_directions(pairs), "place": pairs["source_place"]}
    )
    order = pc.sort_indices(split_and_place, [(name, "ascending") for name in split_and_place.column_names])
    cluster.set_up_data()
    stream = ray.data.from_arrow(pairs.take(order)).repartition(target_num_rows_per_block=ROWS_AT_ONCE)
    joined = stream.map_batches(recordings.join, batch_size=ROWS_AT_ONCE, batch_format="pyarrow")
    datasets.write(joined, step.output, ["split", "source_lang", "target_lang"])
    written = datasets.read_table(step.output, SPEECH_PAIRS, ["source_samples"])
    datasets.check_nothing_lost(step.output, len(pairs), len(written), 0)
    seconds = pc.sum(written["source_samples"]).as_py() / audio.SAMPLE_RATE
    return Counts(len(pairs), len(written), audio_hours=round(seconds / 3600, 4))


def open_manifest(folder: str) -> tuple["Recordings", pa.ChunkedArray]:
    """Open a manifest, and give the utterance_id of each of its rows."""
    system, _ = storage.resolve(folder)
    dataset = pyarrow.dataset.dataset(datasets.files(folder, MANIFEST), filesystem=system, partitioning="hive")
    row_groups = [part for fragment in dataset.get_fragments() for part in fragment.split_by_row_group()]
    ids = [part.to_table(columns=["utterance_id"])["utterance_id"].combine_chunks() for part in row_groups]
    ends = np.cumsum([len(part) for part in ids])
    return Recordings(row_groups, ends), pa.chunked_array(ids, pa.string())


@dataclass(frozen=True)
class Recordings:
    """The recordings of a manifest, found by the numbers of their rows."""

    row_groups: list[pyarrow.dataset.ParquetFileFragment]
    ends: np.ndarray  # of the row groups, in rows

    def join(self, pairs: pa.Table) -> pa.Table:
        """Rows of PAIRS with the places of both recordings -> rows of SPEECH_PAIRS."""
        columns = {name: pairs[name] for name in KEPT}
        for side in SIDES:
            found = self._read(pairs[f"{side}_place"].to_numpy())
            columns[f"{side}_audio"] = pc.struct_field(found["audio"], "bytes")
            columns[f"{side}_samples"] = found["num_samples"]
            columns[f"{side}_text"] = found["text"]
        return pa.table({name: columns[name] for name in SPEECH_PAIRS.names}).cast(SPEECH_PAIRS)

    def _read(self, places: np.ndarray) -> pa.Table:
        """Rows of the manifest by their numbers, in this order."""
        wanted, order = np.unique(places, return_inverse=True)
        numbers = np.searchsorted(self.ends, wanted, side="right")
        parts = [self._read_row_group(number, wanted[numbers == number]) for number in np.unique(numbers)]
        return pa.concat_tables(parts).take(order)

    def _read_row_group(self, number: int, places: np.ndarray) -> pa.Table:
        table = self.row_groups[number].to_table(columns=list(TAKEN))
        return table.take(places - (self.ends[number] - len(table)))


STAGE = Stage(PairSpeechConfig, run, reads={"pairs": Input(PAIRS), "manifest": Input(MANIFEST)})

if __name__ == "__main__":
    main("pipelines.pair_speech")
