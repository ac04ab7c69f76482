"""What recognisers hear in translations and in the true recordings, on the workers, as a stream."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from s2st.recognizers import Recognizers
from s2st.schemas import MANIFEST, TRANSLATIONS
from stages import datasets
from stages.stage import Step

TO_HEAR = pa.schema(
    [
        ("column", pa.string()),  # of SCORES, that the text goes into: heard_text, ceiling_text or recording_text
        ("name", pa.string()),  # pair_id, or of a recording utterance_id
        ("lang", pa.string()),
        ("audio", pa.binary()),
    ]
)


class Judge:
    """Transcribes translations, ceilings and true recordings."""

    def __init__(self, recognizers: Sequence[str]):
        self.recognizers = Recognizers(recognizers)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of TO_HEAR into rows {column, name, text}."""
        rows = table.to_pylist()
        for lang in {row["lang"] for row in rows}:
            chosen = [row for row in rows if row["lang"] == lang]
            texts = self.recognizers.transcribe(lang, [row["audio"] for row in chosen])
            for row, text in zip(chosen, texts, strict=True):
                row["text"] = text
        texts = pa.array([row["text"] for row in rows], pa.string())
        return table.select(["column", "name"]).append_column("text", texts)


def _translated(table: pa.Table) -> pa.Table:
    """Make rows of TO_HEAR of rows of TRANSLATIONS."""
    parts = [
        [pa.array([column] * len(table), pa.string()), table["pair_id"], table["target_lang"], table[sound]]
        for column, sound in (("heard_text", "audio"), ("ceiling_text", "ceiling_audio"))
    ]
    return pa.concat_tables([pa.table(part, schema=TO_HEAR) for part in parts])


def _recorded(table: pa.Table) -> pa.Table:
    """Make rows of TO_HEAR of rows of MANIFEST."""
    column = pa.array(["recording_text"] * len(table), pa.string())
    sounds = pc.struct_field(table["audio"], "bytes")
    return pa.table([column, table["utterance_id"], table["lang"], sounds], schema=TO_HEAR)


def hear(step: Step, targets: set[str], batch_rows: int, pool: dict[str, Any]) -> dict[tuple[str, str], str]:
    """Transcribe all translations of a step, their ceilings, and the true recordings `targets`: {(column, name): text}.

    Each recording is heard once, though many pairs may have it as their target.
    """
    columns = ["pair_id", "target_lang", "audio", "ceiling_audio"]
    spoken = datasets.read(step.input("translations"), TRANSLATIONS, columns)
    manifest = datasets.read(step.input("manifest"), MANIFEST, ["utterance_id", "lang", "audio"])
    recorded = datasets.only(manifest, pa.array(sorted(targets)))
    sounds = spoken.map_batches(_translated, batch_format="pyarrow").union(
        recorded.map_batches(_recorded, batch_format="pyarrow")
    )
    heard = sounds.map_batches(
        Judge,
        fn_constructor_args=(step.input_list("recognizers"),),
        batch_format="pyarrow",
        batch_size=batch_rows,
        **pool,
    )
    texts = {(row["column"], row["name"]): row["text"] for row in heard.take_all()}
    num_sounds = 2 * datasets.count(step.input("translations"), TRANSLATIONS) + len(targets)
    datasets.check_nothing_lost(step.output, num_sounds, len(texts), 0)
    return texts
