"""Judge a vocoder: compare what it spoke with the recordings, and let a recogniser hear both."""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.evaluate import check_recognizers
from pipelines.listening import recordings_of
from s2st import audio, storage
from s2st.config import UserError
from s2st.evaluation import voice_scores
from s2st.evaluation.spoken_text import spoken_text
from s2st.recognizers import Recognizers
from s2st.schemas import MANIFEST, RESYNTHESES, RESYNTHESIS_SCORES
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

TOLD = {
    "mcd": "MCD",
    "mcd_db": "MCD in dB",
    "mel_l1": "mel L1",
    "duration_error": "duration error in frames",
    "f0_correlation": "F0 correlation",
    "word_error_rate": "WER",
    "recording_word_error_rate": "WER of the recordings",
}


LONGEST_SPOKEN = 240  # seconds: to align what is spoken with a recording takes memory by the product of both


@dataclass(frozen=True)
class ScoreResynthesisConfig:
    min_words: int = 3  # texts of fewer are not judged: recognisers guess at words that stand alone
    seed: int = 0  # of the intervals
    batch_rows: int = resource(16)
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU

    def __post_init__(self) -> None:
        if self.min_words < 1:
            raise ValueError(f"min_words={self.min_words} must be at least 1")


class Scorer:
    """Takes what was spoken and gives its scores."""

    def __init__(self, recognizers: Sequence[str], recordings: Any, texts: dict[str, str], min_words: int, output: str):
        """Rows whose recording cannot be decoded are set aside beside the dataset `output`."""
        self.recognizers = Recognizers(recognizers)
        self.recordings: dict[str, bytes] = ray.get(recordings)
        self.texts, self.min_words, self.output = texts, min_words, output

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of RESYNTHESES into rows of RESYNTHESIS_SCORES."""
        good: list[dict[str, Any]] = []
        for row in table.to_pylist():
            try:
                recording = audio.decode(self.recordings[row["utterance_id"]])
            except audio.AudioError as error:
                datasets.set_aside([{**row, "reason": f"its recording: {error}"}], self.output)
                continue
            known = ("true_durations", "durations", "predicted")
            measured = voice_scores.measure(recording, _waveform(row["audio"]), *(row[name] for name in known))
            good.append({**row, **measured, "text": self.texts[row["utterance_id"]]})
        for lang in {row["lang"] for row in good} & set(self.recognizers.by_language):
            self._judge([row for row in good if row["lang"] == lang], lang)
        return pa.Table.from_pylist(good, schema=RESYNTHESIS_SCORES)

    def _judge(self, rows: list[dict[str, Any]], lang: str) -> None:
        """Add what is heard, and the errors in it where the text is long enough."""
        heard = self.recognizers.transcribe(lang, [row["audio"] for row in rows])
        recorded = self.recognizers.transcribe(lang, [self.recordings[row["utterance_id"]] for row in rows])
        for row, *texts in zip(rows, heard, recorded, strict=True):
            row["heard_text"], row["recording_text"] = texts
            reference, *found = (spoken_text(text, lang) for text in (row["text"], *texts))
            if (num_words := len(reference.split())) >= self.min_words:
                row["num_words"] = num_words
                row["word_errors"], row["recording_word_errors"] = (
                    voice_scores.word_errors(reference, text) for text in found
                )


def _waveform(data: bytes) -> np.ndarray:
    """Decode what was spoken; what is no speech, or far too long, is no sound, and stays in the scores."""
    try:
        return audio.decode(data, LONGEST_SPOKEN)
    except audio.AudioError:
        return np.zeros(0, np.float32)


def check_inputs(config: ScoreResynthesisConfig, step: Step) -> None:
    """Raise UserError unless one recognizer hears each language, where there are any, and all recordings are there."""
    spoken = datasets.read_table(step.input("resyntheses"), RESYNTHESES, ["utterance_id", "lang"])
    known = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id"])["utterance_id"]
    if missing := set(spoken["utterance_id"].to_pylist()) - set(known.to_pylist()):
        raise UserError(
            f"section '{step.name}': the manifest lacks '{min(missing)}', which was spoken; name the one of its units"
        )
    if step.input_list("recognizers"):
        check_recognizers(step, set(spoken["lang"].to_pylist()))


def run(config: ScoreResynthesisConfig, step: Step) -> Counts:
    """Measure and hear on the workers, score here; writes rows and _scores.json."""
    names = datasets.read_table(step.input("resyntheses"), RESYNTHESES, ["utterance_id"])["utterance_id"].to_pylist()
    table = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id", "text"])
    texts = dict(zip(table["utterance_id"].to_pylist(), table["text"].to_pylist(), strict=True))
    recordings = ray.put(recordings_of(step, set(names)))
    wanted = {name: texts[name] for name in names}
    scored = datasets.read(step.input("resyntheses"), RESYNTHESES).map_batches(
        Scorer,
        fn_constructor_args=(step.input_list("recognizers"), recordings, wanted, config.min_words, step.output),
        batch_format="pyarrow",
        batch_size=config.batch_rows,
        **cluster.pool(config.max_workers, config.num_gpus),
    )
    rows = sorted(scored.take_all(), key=lambda row: row["utterance_id"])
    num_rejects = len(datasets.rejects(step.output))
    datasets.check_nothing_lost(step.output, len(names), len(rows), num_rejects)
    datasets.write_table(pa.Table.from_pylist(rows, schema=RESYNTHESIS_SCORES), step.output)
    scores = score_languages(rows, config.seed)
    storage.write_json(f"{step.output}/_scores.json", scores)
    for lang, found in scores.items():
        known = (f"{name} {found[key]['value']:.3f}" for key, name in TOLD.items() if key in found)
        tell(f"{step.name}: {lang}: {', '.join(known)}")
    hours = sum(row["num_samples"] for row in rows) / audio.SAMPLE_RATE / 3600
    return Counts(len(names), len(rows), num_rejects, round(hours, 4))


def score_languages(rows: list[dict[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
    """Score rows of RESYNTHESIS_SCORES: {language: {figure: {value, low, high}}}, and what they are of."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["lang"]].append(row)
    return {
        lang: {
            "recordings": len(alike),
            "words": sum(row["num_words"] or 0 for row in alike),
            "durations": "predicted" if alike[0]["predicted"] else "recorded",
            **{name: dataclasses.asdict(figure) for name, figure in voice_scores.score(alike, seed).items()},
        }
        for lang, alike in sorted(groups.items())
    }


STAGE = Stage(
    ScoreResynthesisConfig,
    run,
    reads={
        "resyntheses": Input(RESYNTHESES),
        "manifest": Input(MANIFEST),
        "recognizers": Input(many=True, optional=True),
    },
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.score_resynthesis")
