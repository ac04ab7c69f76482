"""Hear the recordings of a split with a HuBERT that was fine-tuned to letters, and score what is heard."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipelines.speech_batches import CARRIED, SHARD_BATCHES, decoded_batches, waveform_of
from s2st import audio, checkpoint, storage
from s2st.config import UserError
from s2st.evaluation.text_scores import character_error_rate, word_error_rate
from s2st.feature_extractor import BATCH_SECONDS
from s2st.models.recognizer import normalize_text
from s2st.recognizers import languages_of
from s2st.schemas import MANIFEST, TRANSCRIPTS
from s2st.speech_to_symbols import SpeechToSymbols
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

HEARD = pa.schema(
    [
        *(MANIFEST.field(name) for name in CARRIED),
        *(TRANSCRIPTS.field(name) for name in ("heard_text", "beam_text")),
        ("reason", pa.string()),  # why there are none
    ]
)


@dataclass(frozen=True)
class TranscribeConfig:
    split: Literal["train", "validation", "test"] = "test"
    beam: int = 20  # prefixes that beam search keeps
    batch_seconds: float = resource(BATCH_SECONDS)  # of speech in one padded batch; a GPU takes more
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise ValueError(f"beam={self.beam} must be at least 1")


class Transcriber:
    """Takes batches and gives what is heard in them, of the likeliest path and by beam search."""

    def __init__(self, recognizer: str, beam: int, batch_seconds: float):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.speech_to_symbols, self.beam = SpeechToSymbols.load(recognizer, device, batch_seconds), beam

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of BATCHES into rows with the texts heard, or with a reason."""
        rows = [row for batch in table["batch"].to_pylist() for row in batch]
        good = [row for row in rows if row["reason"] is None]
        heard = self.speech_to_symbols
        for row, log_probs in zip(good, heard.log_probs(list(map(waveform_of, good))), strict=True):
            row.update(heard_text=heard.text(log_probs), beam_text=heard.text(log_probs, self.beam))
        return pa.Table.from_pylist(rows, schema=HEARD)


def check_inputs(config: TranscribeConfig, step: Step) -> None:
    """Raise UserError if the split has no speech in a language that the recognizer hears."""
    checkpoint.read_config(step.input("recognizer"), "hubert_ctc")
    if not texts_to_hear(config, step):
        languages = ", ".join(languages_of(step.input("recognizer")))
        raise UserError(f"section '{step.name}': the {config.split} split has no speech in {languages}")


def texts_to_hear(config: TranscribeConfig, step: Step) -> dict[str, str]:
    """Read the true texts of the recordings, by utterance_id."""
    table = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "lang", "split", "text"])
    languages = languages_of(step.input("recognizer"))
    rows = (row for row in table.to_pylist() if row["split"] == config.split and row["lang"] in languages)
    return {row["utterance_id"]: row["text"] for row in rows}


def run(config: TranscribeConfig, step: Step) -> Counts:
    """Hear on the workers, score here; writes rows and _scores.json."""
    texts = texts_to_hear(config, step)
    columns = [*CARRIED, "audio"]
    speech = datasets.read_shards(step.input("manifest"), MANIFEST, columns, pa.array(sorted(texts)))
    heard = decoded_batches(speech, config.batch_seconds, SHARD_BATCHES).map_batches(
        Transcriber,
        fn_constructor_args=(step.input("recognizer"), config.beam, config.batch_seconds),
        batch_size=1,
        batch_format="pyarrow",
        zero_copy_batch=True,
        **cluster.pool(config.max_workers, config.num_gpus),
    )
    rows = sorted(heard.take_all(), key=lambda row: row["utterance_id"])
    rejects = [row for row in rows if row["reason"] is not None]
    kept = [{**row, "text": texts[row["utterance_id"]]} for row in rows if row["reason"] is None]
    datasets.set_aside(rejects, step.output)
    datasets.check_nothing_lost(step.output, len(texts), len(kept), len(rejects))
    table = pa.Table.from_pylist(kept, schema=TRANSCRIPTS)
    datasets.write_table(table, step.output)
    scores = score(table.to_pylist(), trained_speakers(step))
    storage.write_json(f"{step.output}/_scores.json", scores)
    for lang, by_voices in scores.items():
        for voices, found in by_voices.items():
            best, beam = _told(found["heard_text"]), _told(found["beam_text"])
            tell(f"{step.name}: {lang}, {voices} voices: best path {best}; beam {beam}")
    hours = sum(row["num_samples"] for row in kept) / audio.SAMPLE_RATE / 3600
    return Counts(len(texts), len(kept), len(rejects), round(hours, 4))


def trained_speakers(step: Step) -> set[str]:
    """Read whose voices training heard."""
    table = datasets.read_table(step.input("manifest"), MANIFEST, ["split", "speaker"])
    return set(pc.unique(table.filter(pc.equal(table["split"], "train"))["speaker"]).to_pylist())


def score(rows: list[dict[str, Any]], trained: set[str]) -> dict[str, dict[str, dict[str, Any]]]:
    """Score rows of TRANSCRIPTS on voices that training heard and on others: {language: {voices: scores}}."""
    groups: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row["lang"]]["seen" if row["speaker"] in trained else "unseen"].append(row)
    return {
        lang: {voices: score_voices(chosen) for voices, chosen in sorted(by_voices.items())}
        for lang, by_voices in sorted(groups.items())
    }


def score_voices(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Score rows of one language: of the likeliest path, and of beam search."""
    references = [normalize_text(row["text"]) for row in rows]
    scores: dict[str, Any] = {"recordings": len(rows)}
    for column in ("heard_text", "beam_text"):
        heard = [normalize_text(row[column]) for row in rows]
        scores[column] = {
            "word_error_rate": word_error_rate(references, heard),
            "character_error_rate": character_error_rate(references, heard),
        }
    return scores


def _told(rates: dict[str, float]) -> str:
    return f"WER {rates['word_error_rate']:.1%}, CER {rates['character_error_rate']:.1%}"


STAGE = Stage(
    TranscribeConfig,
    run,
    reads={"manifest": Input(MANIFEST), "recognizer": Input()},
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.transcribe")
