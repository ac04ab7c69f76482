"""Score the speech of any system: a folder of {id}.wav, against references, by what a recogniser hears in it.

The references are a table with the columns id and text (and, for the ceiling, `recordings`, a folder of the true
speech), or the rows of a manifest in one language and split, whose utterance_id is the id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import ray.data
from ray.data import Dataset

from pipelines.evaluate import check_recognizers
from s2st import storage
from s2st.config import UserError
from s2st.evaluation import folder as speech_folder
from s2st.evaluation.protocols import ProtocolName, protocol
from s2st.recognizers import Recognizers, languages_of, version_of
from s2st.schemas import FOLDER_SCORES, MANIFEST
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

TO_HEAR = pa.schema(
    [
        ("utterance_id", pa.string()),
        ("reference_text", pa.string()),
        ("file", pa.string()),  # address; null where it is missing
        ("recording_file", pa.string()),  # address of the true speech; null where it is in a manifest, or none is given
        ("recording", pa.binary()),  # the true speech of a manifest
    ]
)


@dataclass(frozen=True)
class ScoreFolderConfig:
    folder: str  # of {id}.wav
    lang: str
    references: str | None = None  # table with the columns id and text; none: the rows of the input `manifest`
    recordings: str | None = None  # folder of the true speech, {id}.wav, of the references
    split: Literal["train", "validation", "test"] = "test"  # of the manifest
    protocol: ProtocolName = "plain"
    seed: int = 0  # of the intervals
    batch_rows: int = resource(32)
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU

    def __post_init__(self) -> None:
        if self.recordings is not None and self.references is None:
            raise ValueError("recordings belong to references; those of a manifest are in it")


class FolderJudge:
    """Hears the files of a folder, and the true recordings."""

    def __init__(self, recognizers: Sequence[str], lang: str):
        self.transcribe, self.lang = Recognizers(recognizers).by_language[lang].transcribe, lang

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of TO_HEAR into rows of FOLDER_SCORES."""
        rows = speech_folder.hear_rows(self.transcribe, self.lang, table.to_pylist())
        return pa.Table.from_pylist(rows, schema=FOLDER_SCORES)


def check(config: ScoreFolderConfig, step: Step) -> None:
    """Raise UserError unless there is one kind of references, and speech for some of them."""
    if (config.references is None) == (not step.inputs.get("manifest")):
        raise UserError(f"section '{step.name}': name a table of references, or a manifest that has them")
    if config.references is not None:
        speech_folder.find_speech(config.folder, speech_folder.read_references(config.references))


def check_inputs(config: ScoreFolderConfig, step: Step) -> None:
    """Raise UserError unless a recognizer hears the language, and there is speech for some references."""
    check_recognizers(step, {config.lang})
    speech_folder.find_speech(config.folder, references_of(config, step))


def references_of(config: ScoreFolderConfig, step: Step) -> dict[str, str]:
    """Read what should be said in the file of each id."""
    if config.references is not None:
        return speech_folder.read_references(config.references)
    where = (pc.field("lang") == config.lang) & (pc.field("split") == config.split)
    table = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "text"], where)
    if not len(table):
        raise UserError(f"section '{step.name}': the {config.split} split has no speech in {config.lang}; name another")
    if not any(table["text"].to_pylist()):
        raise UserError(f"section '{step.name}': the manifest has no text in {config.lang}; name a table of references")
    return dict(zip(table["utterance_id"].to_pylist(), table["text"].to_pylist(), strict=True))


def rows_to_hear(config: ScoreFolderConfig, step: Step, texts: dict[str, str], files: dict[str, str]) -> Dataset:
    """Stream rows of TO_HEAR: the files that there are of the ids of `texts`, beside their true speech."""
    if config.references is not None:
        known = speech_folder.find_recordings(config.recordings, texts) if config.recordings is not None else {}
        return ray.data.from_arrow(pa.Table.from_pylist(speech_folder.rows_to_hear(texts, files, known), TO_HEAR))
    spoken = datasets.read(step.input("manifest"), MANIFEST, ["utterance_id", "text", "audio"])
    return datasets.only(spoken, pa.array(sorted(texts))).map_batches(
        _to_hear, fn_kwargs={"files": files}, batch_format="pyarrow"
    )


def _to_hear(table: pa.Table, files: dict[str, str]) -> pa.Table:
    """Turn rows of MANIFEST into rows of TO_HEAR."""
    rows = [
        {
            "utterance_id": row["utterance_id"],
            "reference_text": row["text"],
            "file": files.get(row["utterance_id"]),
            "recording": row["audio"]["bytes"],
        }
        for row in table.to_pylist()
    ]
    return pa.Table.from_pylist(rows, TO_HEAR)


def run(config: ScoreFolderConfig, step: Step) -> Counts:
    """Hear on the workers, score here; writes rows and _scores.json."""
    texts = references_of(config, step)
    files, extra = speech_folder.find_speech(config.folder, texts)
    speech = rows_to_hear(config, step, texts, files).repartition(target_num_rows_per_block=config.batch_rows)
    heard = speech.map_batches(
        FolderJudge,
        fn_constructor_args=(step.input_list("recognizers"), config.lang),
        batch_format="pyarrow",
        batch_size=config.batch_rows,
        **cluster.pool(config.max_workers, config.num_gpus),
    )
    rows = sorted(heard.take_all(), key=lambda row: row["utterance_id"])
    datasets.check_nothing_lost(step.output, len(texts), len(rows), 0)
    datasets.write_table(pa.Table.from_pylist(rows, schema=FOLDER_SCORES), step.output)
    (judge,) = (version_of(each) for each in step.input_list("recognizers") if config.lang in languages_of(each))
    scores = speech_folder.score_rows(rows, extra, protocol(config.protocol, config.lang), judge, config.seed)
    storage.write_json(f"{step.output}/_scores.json", {config.lang: scores})
    tell(f"{step.name}: {config.lang}: {speech_folder.told(scores)}")
    return Counts(len(texts), len(rows), audio_hours=round(sum(row["seconds"] for row in rows) / 3600, 4))


STAGE = Stage(
    ScoreFolderConfig,
    run,
    reads={"recognizers": Input(many=True), "manifest": Input(MANIFEST, optional=True)},
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.score_folder")
