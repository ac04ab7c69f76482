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
KEPT = [name for name in SPEECH_PAIRS.names if name in PAIRS.names]


@dataclass(frozen=True)
class PairSpeechConfig:
    pass


def run(config: PairSpeechConfig, step: Step) -> Counts:
    """Join the pairs with the manifest on the data workers."""
    pairs = datasets.read_table(step.input("pairs"), PAIRS, KEPT)
    recordings = Recordings(step.input("manifest"))
    sides = [recordings.places(pairs[f"{side}_utterance_id"]) for side in ("source", "target")]
    if lost := sum(places.null_count for places in sides):
        raise UserError(
            f"section '{step.name}': {lost} recordings of {step.input('pairs')} are not in {step.input('manifest')}; "
            "name the manifest that the units were made of"
        )
    split_and_place = pa.table({"split": pairs["split"], "direction": pair_directions(pairs), "place": sides[0]})
    order = pc.sort_indices(split_and_place, [(name, "ascending") for name in split_and_place.column_names])
    cluster.set_up_data()
    stream = ray.data.from_arrow(pairs.take(order)).repartition(target_num_rows_per_block=ROWS_AT_ONCE)
    joined = stream.map_batches(recordings.join, batch_size=ROWS_AT_ONCE, batch_format="pyarrow")
    datasets.write(joined, step.output, ["split", "source_lang", "target_lang"])
    written = datasets.read_table(step.output, SPEECH_PAIRS, ["source_samples"])
    datasets.check_nothing_lost(step.output, len(pairs), len(written), 0)
    seconds = pc.sum(written["source_samples"]).as_py() / audio.SAMPLE_RATE
    return Counts(len(pairs), len(written), audio_hours=round(seconds / 3600, 4))


class Recordings:
    """The recordings of a manifest, found by their utterance_id."""

    def __init__(self, manifest: str) -> None:
        system, _ = storage.resolve(manifest)
        dataset = pyarrow.dataset.dataset(datasets.files(manifest, MANIFEST), filesystem=system, partitioning="hive")
        self.row_groups = [part for fragment in dataset.get_fragments() for part in fragment.split_by_row_group()]
        ids = [part.to_table(columns=["utterance_id"])["utterance_id"].combine_chunks() for part in self.row_groups]
        self.ids = ray.put(pa.chunked_array(ids, pa.string()))
        self.ends = np.cumsum([len(part) for part in ids])  # of the row groups, in rows

    def places(self, utterance_ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """Number of the row of each recording, null for those that are not there."""
        return pc.index_in(utterance_ids, ray.get(self.ids))

    def join(self, pairs: pa.Table) -> pa.Table:
        """Rows of PAIRS -> rows of SPEECH_PAIRS."""
        columns = {name: pairs[name] for name in KEPT}
        for side in ("source", "target"):
            found = self._read(pairs[f"{side}_utterance_id"])
            columns[f"{side}_audio"] = pc.struct_field(found["audio"], "bytes")
            columns[f"{side}_samples"] = found["num_samples"]
            columns[f"{side}_text"] = found["text"]
        return pa.table({name: columns[name] for name in SPEECH_PAIRS.names}).cast(SPEECH_PAIRS)

    def _read(self, utterance_ids: pa.ChunkedArray) -> pa.Table:
        """Rows of the manifest, in the order of their names."""
        places = self.places(utterance_ids).to_numpy()
        needed = np.unique(np.searchsorted(self.ends, places, side="right"))
        table = pa.concat_tables(self._read_row_group(number, utterance_ids) for number in needed)
        return table.take(pc.index_in(utterance_ids, table["utterance_id"].combine_chunks()))

    def _read_row_group(self, number: int, utterance_ids: pa.ChunkedArray) -> pa.Table:
        table = self.row_groups[number].to_table(columns=["utterance_id", *TAKEN])
        return table.filter(pc.is_in(table["utterance_id"], utterance_ids.combine_chunks()))


STAGE = Stage(PairSpeechConfig, run, reads={"pairs": Input(PAIRS), "manifest": Input(MANIFEST)})

if __name__ == "__main__":
    main("pipelines.pair_speech")
