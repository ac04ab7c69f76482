"""Write pairs as fairseq's speech_to_speech task reads them: see s2st.fairseq.speech_to_speech.

s2ut/<from>-<to>/       recordings to units: config.yaml, dict.txt, train.tsv, ..., audio/
s2spect/<from>-<to>/    recordings to spectrograms: config.yaml, logmelspec80.zip, train.tsv, ..., audio/

With multitask, beside them config_multitask.yaml and a folder a task: see pipelines.fairseq_tasks.
"""

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.fairseq_export import Export, grouped, rows_of
from pipelines.fairseq_tasks import SIDE_OF, Tasks
from s2st.fairseq.manifest import split_name
from s2st.fairseq.multitask import decoder_steps
from s2st.fairseq.speech_to_speech import mel_pairs, unit_pairs, write_s2spect, write_s2ut
from s2st.features.speech_mel import num_mel_frames
from s2st.schemas import MANIFEST, PAIRS
from stages import datasets
from stages.console import tell

MELS_PER_STEP = 5  # --n-frames-per-step of the S2SPECT recipe; that of S2UT is 1


class Recordings(Mapping[str, Mapping[str, Any]]):
    """Some rows of a manifest by utterance_id, their audio in files: pairs come in any order, and memory is small."""

    def __init__(self, manifest: str, wanted: pa.Array, folder: Path) -> None:
        self.files: dict[str, Path] = {}
        for batch in datasets.read_batches(manifest, MANIFEST, ["utterance_id", "audio"]):
            for row in batch.filter(pc.is_in(batch["utterance_id"], wanted)).to_pylist():
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
    tasks = Tasks(given, 1, lambda pair, _: decoder_steps(len(pair["target_units"]), 1, tells_units=True))
    with recordings(given, table, "source_utterance_id") as known:
        for path, splits in directions(given, table, folder, tasks, needs_units=True):
            pairs = {split: unit_pairs(rows_of(part), known) for split, part in splits.items()}
            write_s2ut(path, pairs, num_units, reduce=True)
            tasks.write(path, splits)
    return len(table)


def write_s2spect_folders(given: Export, folder: Path) -> int:
    """Write recordings to the log-mel spectrograms of their targets."""
    table, _ = given.table("pairs", PAIRS)
    tasks = Tasks(
        given,
        MELS_PER_STEP,
        lambda _, target: decoder_steps(num_mel_frames(target["num_samples"]), MELS_PER_STEP, tells_units=False),
    )
    with recordings(given, table, "source_utterance_id", "target_utterance_id") as known:
        for path, splits in directions(given, table, folder, tasks):
            write_s2spect(path, {split: mel_pairs(rows_of(part), known) for split, part in splits.items()})
            tasks.write(path, splits)
    return len(table)


@contextlib.contextmanager
def recordings(given: Export, table: pa.Table, *columns: str) -> Iterator[Recordings]:
    """Give the recordings that columns of the pairs name, for as long as they are needed; they lie in the output."""
    wanted = pa.concat_arrays([chunk for column in columns for chunk in table[column].chunks])
    given.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="recordings-", dir=given.folder) as folder:
        yield Recordings(given.step.input("manifest"), wanted, Path(folder))


def directions(
    given: Export, table: pa.Table, folder: Path, tasks: Tasks, needs_units: bool = False
) -> Iterator[tuple[Path, dict[str, pa.Table]]]:
    """Yield the folder of each direction, and by fairseq's name of the split its pairs, all but those set aside."""
    for (source, target), part in grouped(table, ("source_lang", "target_lang")):
        path = folder / f"{source}-{target}"
        kept = usable(given, part, f"{folder.name}/{path.name}", tasks, needs_units)
        if len(kept):
            yield path, {split_name(key[0]): rows for key, rows in grouped(kept, ("split",))}


def usable(given: Export, table: pa.Table, where: str, tasks: Tasks, needs_units: bool) -> pa.Table:
    """Set aside the pairs of a direction that cannot be learned from, tell of them, and give the others."""
    names = tasks.possible(table)
    if given.multitask and len(names) < len(SIDE_OF):
        without = ", ".join(name for name in SIDE_OF if name not in names)
        tell(f"{given.step.name}: {where} has no text to learn {without} from, so it comes without")
    reasons: list[str | None] = []
    rejects = []
    for row in rows_of(table):
        no_units = needs_units and not len(row["target_units"])
        reasons.append("the target has no units" if no_units else tasks.why_not(row, names))
        if reasons[-1]:
            # the place tells apart what two formats refuse
            reason = f"{where}: {reasons[-1]}"
            rejects.append({**row, "utterance_id": row["pair_id"], "lang": row["source_lang"], "reason": reason})
    datasets.set_aside(rejects, given.step.output)
    if rejects:
        told = ", ".join(f"{reason} ({count})" for reason, count in Counter(filter(None, reasons)).most_common())
        tell(f"{given.step.name}: {len(rejects)} of {len(table)} pairs are not in {where}: {told}")
    return table.filter(pa.array([reason is None for reason in reasons]))
