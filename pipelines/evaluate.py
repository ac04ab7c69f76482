"""Judge translations: recognise what was spoken and count the content words and units that arrived.

Beside every score stand its chance (another sentence of the same template), its ceiling (the true units
through the same vocoder) and the judge's score of the true recordings. ASR-BLEU follows one of the protocols of
s2st.evaluation.protocols.
"""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
import ray.data

from s2st import audio, storage
from s2st.config import UserError
from s2st.corpora.phrasebook_grammar import content_words, template_of
from s2st.evaluation import scores
from s2st.evaluation.asr_bleu import score_heard
from s2st.evaluation.protocols import ProtocolName, protocol
from s2st.evaluation.spoken_text import spoken_text
from s2st.recognizers import Recognizers, languages_of, version_of
from s2st.schemas import MANIFEST, SCORES, TRANSLATIONS
from stages import cluster, datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource


@dataclass(frozen=True)
class EvaluateConfig:
    protocol: ProtocolName = "plain"  # of WER, CER, BLEU and chrF; content words are always as in plain
    seed: int = 0  # of the sentences drawn for chance, and of the intervals
    batch_rows: int = resource(32)  # translations that a judge hears at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


class Judge:
    """Transcribes translations, ceilings and true recordings."""

    def __init__(self, recognizers: Sequence[str], recordings: Any):
        self.recognizers = Recognizers(recognizers)
        self.recordings: dict[str, bytes] = ray.get(recordings)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add heard_text, ceiling_text and recording_text to rows of TRANSLATIONS; their audio is dropped."""
        rows = table.to_pylist()
        for lang in {row["target_lang"] for row in rows}:
            chosen = [row for row in rows if row["target_lang"] == lang]
            for column, sounds in (
                ("heard_text", [row["audio"] for row in chosen]),
                ("ceiling_text", [row["ceiling_audio"] for row in chosen]),
                ("recording_text", [self.recordings[row["target_utterance_id"]] for row in chosen]),
            ):
                for row, text in zip(chosen, self.recognizers.transcribe(lang, sounds), strict=True):
                    row[column] = text
        kept = [name for name in rows[0] if name not in ("audio", "ceiling_audio")] if rows else []
        return pa.Table.from_pylist([{name: row[name] for name in kept} for row in rows])


def check_inputs(config: EvaluateConfig, step: Step) -> None:
    """Raise UserError unless one recognizer hears each language of the translations."""
    spoken = datasets.read_table(step.input("translations"), TRANSLATIONS, ["target_lang"])["target_lang"]
    check_recognizers(step, set(spoken.to_pylist()))


def check_recognizers(step: Step, spoken: set[str]) -> None:
    """Raise UserError unless one of the step's recognizers hears each of the languages."""
    languages = [lang for folder in step.input_list("recognizers") for lang in languages_of(folder)]
    if len(set(languages)) < len(languages):
        raise UserError(f"section '{step.name}': two of the recognizers hear one language; name one for each")
    if missing := sorted(spoken - set(languages)):
        raise UserError(f"section '{step.name}': no recognizer hears '{missing[0]}'; train one and name it here")


def run(config: EvaluateConfig, step: Step) -> Counts:
    """Transcribe on the workers, score here; writes rows and _scores.json."""
    translations = datasets.read_table(step.input("translations"), TRANSLATIONS, ["target_utterance_id"])
    utterances = datasets.read_table(step.input("manifest"), MANIFEST, [n for n in MANIFEST.names if n != "audio"])
    spoken = {row["utterance_id"]: row for row in utterances.to_pylist()}
    recordings = target_recordings(step.input("manifest"), set(translations["target_utterance_id"].to_pylist()))
    heard = datasets.read(step.input("translations"), TRANSLATIONS).map_batches(
        Judge,
        fn_constructor_args=(step.input_list("recognizers"), ray.put(recordings)),
        batch_format="pyarrow",
        batch_size=config.batch_rows,
        **cluster.pool(config.max_workers, config.num_gpus),
    )
    rows = complete(heard.take_all(), spoken, config.seed)
    datasets.check_nothing_lost(step.output, len(translations), len(rows), 0)
    datasets.write_table(pa.Table.from_pylist(rows, schema=SCORES), step.output)
    versions = {folder: version_of(folder) for folder in step.input_list("recognizers")}
    judges = {lang: version for folder, version in versions.items() for lang in languages_of(folder)}
    storage.write_json(f"{step.output}/_scores.json", score_directions(rows, config, judges))
    return Counts(len(translations), len(rows))


def target_recordings(manifest: str, wanted: set[str]) -> dict[str, bytes]:
    """Read the audio of the true target recordings."""
    rows = datasets.only(datasets.read(manifest, MANIFEST, ["utterance_id", "audio"]), pa.array(sorted(wanted)))
    return {row["utterance_id"]: row["audio"]["bytes"] for row in rows.take_all()}


def complete(rows: list[dict[str, Any]], spoken: dict[str, dict[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Add the true texts, the voice and the text for chance to transcribed rows: rows of SCORES."""
    voices = {row["speaker"] for row in spoken.values() if row["split"] == "train"}
    draw = random.Random(seed)
    others: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    in_language: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["pair_id"]):
        text = spoken[row["target_utterance_id"]]["text"]
        others[row["target_lang"], _template(row["sentence_id"])].append((row["sentence_id"], text))
        in_language[row["target_lang"]].append((row["sentence_id"], text))
    done = []
    for row in sorted(rows, key=lambda row: row["pair_id"]):
        alike = others[row["target_lang"], _template(row["sentence_id"])]
        texts = _other_texts(alike, row["sentence_id"]) or _other_texts(
            in_language[row["target_lang"]], row["sentence_id"]
        )
        done.append(
            {
                **{name: row[name] for name in SCORES.names if name in row},
                "voices": "seen" if spoken[row["source_utterance_id"]]["speaker"] in voices else "unseen",
                "reference_seconds": spoken[row["target_utterance_id"]]["num_samples"] / audio.SAMPLE_RATE,
                "source_text": spoken[row["source_utterance_id"]]["text"],
                "reference_text": spoken[row["target_utterance_id"]]["text"],
                "chance_text": draw.choice(texts) if texts else "",
            }
        )
    return done


def _other_texts(spoken: Sequence[tuple[str, str]], sentence_id: str) -> list[str]:
    return sorted({text for other, text in spoken if other != sentence_id})


def _template(sentence_id: str) -> str:
    """Name the template of a phrasebook's sentence; sentences of other corpora are all of one kind."""
    return template_of(sentence_id) if sentence_id.startswith("pb-") else ""


def score_directions(
    rows: list[dict[str, Any]], config: EvaluateConfig, judges: Mapping[str, str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Score each direction, on voices that training heard and on others: {direction: {voices: scores}}.

    `judges` tells the version of what hears each language.
    """
    groups: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[f"{row['source_lang']}-{row['target_lang']}"][row["voices"]].append(row)
    return {
        direction: {voices: score(chosen, config, judges) for voices, chosen in sorted(by_voices.items())}
        for direction, by_voices in sorted(groups.items())
    }


def score(rows: list[dict[str, Any]], config: EvaluateConfig, judges: Mapping[str, str]) -> dict[str, Any]:
    """Score rows of one direction."""
    lang = rows[0]["target_lang"]
    texts = [[row[column] for row in rows] for column in ("reference_text", "heard_text", "recording_text")]
    words = _content_words(rows, "reference_text")
    sentences = [row["sentence_id"] for row in rows]
    share = scores.content_word_share(words, _content_words(rows, "heard_text"), config.seed, sentences)

    def share_of(column: str) -> float:
        return scores.content_word_share(words, _content_words(rows, column)).value

    return {
        "sentences": len(set(sentences)),
        "translations": len(rows),
        "content_words": share.value,
        "content_words_interval": [share.low, share.high],
        "num_content_words": share.num_words,
        "chance": share_of("chance_text"),
        "ceiling": share_of("ceiling_text"),
        "recordings": share_of("recording_text"),
        "unit_error_rate": scores.unit_error_rate(
            [row["reference_units"] for row in rows], [row["units"] for row in rows]
        ),
        "unit_bleu": scores.unit_bleu([row["reference_units"] for row in rows], [row["units"] for row in rows]),
        "cut": sum(not row["finished"] for row in rows) / len(rows),
        "duration_ratio": sum(row["seconds"] for row in rows) / sum(row["reference_seconds"] for row in rows),
        **score_heard(protocol(config.protocol, lang), judges[lang], *texts, sentences, config.seed),
    }


def _content_words(rows: list[dict[str, Any]], column: str) -> list[list[str]]:
    lang = rows[0]["target_lang"]
    return [content_words(spoken_text(row[column], lang), lang) for row in rows]


STAGE = Stage(
    EvaluateConfig,
    run,
    reads={
        "translations": Input(TRANSLATIONS),
        "manifest": Input(MANIFEST),
        "recognizers": Input(many=True),
    },
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.evaluate")
