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
import pyarrow.compute as pc

from pipelines.hearing import hear
from s2st import audio, storage
from s2st.config import UserError
from s2st.corpora.phrasebook_grammar import content_words, template_of
from s2st.evaluation import scores
from s2st.evaluation.asr_bleu import score_heard
from s2st.evaluation.protocols import ProtocolName, protocol
from s2st.evaluation.spoken_text import spoken_text
from s2st.recognizers import languages_of, version_of
from s2st.schemas import MANIFEST, SCORES, TRANSLATIONS
from stages import cluster, datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource


@dataclass(frozen=True)
class EvaluateConfig:
    protocol: ProtocolName = "plain"  # of WER, CER, BLEU and chrF; content words are always as in plain
    seed: int = 0  # of the sentences drawn for chance, and of the intervals
    batch_rows: int = resource(32)  # sounds that a judge hears at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


def check_inputs(config: EvaluateConfig, step: Step) -> None:
    """Raise UserError unless one recognizer hears each language of the translations, of recordings that are there."""
    columns = ["target_lang", "source_utterance_id", "target_utterance_id"]
    spoken = datasets.read_table(step.input("translations"), TRANSLATIONS, columns)
    check_recognizers(step, set(spoken["target_lang"].to_pylist()))
    known = datasets.read_table(step.input("manifest"), MANIFEST, ["utterance_id"])["utterance_id"]
    named = {name for column in columns[1:] for name in spoken[column].to_pylist()}
    if missing := named - set(known.to_pylist()):
        raise UserError(
            f"section '{step.name}': the manifest lacks '{min(missing)}', which was translated; name that of its pairs"
        )


def check_recognizers(step: Step, spoken: set[str]) -> None:
    """Raise UserError unless one of the step's recognizers hears each of the languages."""
    languages = [lang for folder in step.input_list("recognizers") for lang in languages_of(folder)]
    if len(set(languages)) < len(languages):
        raise UserError(f"section '{step.name}': two of the recognizers hear one language; name one for each")
    if missing := sorted(spoken - set(languages)):
        raise UserError(f"section '{step.name}': no recognizer hears '{missing[0]}'; train one and name it here")


def run(config: EvaluateConfig, step: Step) -> Counts:
    """Transcribe on the workers, score here; writes rows and _scores.json."""
    columns = [name for name in TRANSLATIONS.names if name not in ("audio", "ceiling_audio")]
    rows = datasets.read_table(step.input("translations"), TRANSLATIONS, columns).to_pylist()
    pool = cluster.pool(config.max_workers, config.num_gpus)
    texts = hear(step, {row["target_utterance_id"] for row in rows}, config.batch_rows, pool)
    for row in rows:
        row.update({column: texts[column, row["pair_id"]] for column in ("heard_text", "ceiling_text")})
        row["recording_text"] = texts["recording_text", row["target_utterance_id"]]
    rows = complete(rows, step.input("manifest"), config.seed)
    datasets.write_table(pa.Table.from_pylist(rows, schema=SCORES), step.output)
    versions = {folder: version_of(folder) for folder in step.input_list("recognizers")}
    judges = {lang: version for folder, version in versions.items() for lang in languages_of(folder)}
    storage.write_json(f"{step.output}/_scores.json", score_directions(rows, config, judges))
    return Counts(len(rows), len(rows))


def complete(rows: list[dict[str, Any]], manifest: str, seed: int) -> list[dict[str, Any]]:
    """Add the true texts, the voice and the text for chance to transcribed rows: rows of SCORES."""
    named = {row[name] for row in rows for name in ("source_utterance_id", "target_utterance_id")}
    columns = ["utterance_id", "speaker", "num_samples", "text"]
    utterances = datasets.read_table(manifest, MANIFEST, columns, pc.field("utterance_id").isin(sorted(named)))
    spoken = {row["utterance_id"]: row for row in utterances.to_pylist()}
    learned = datasets.read_table(manifest, MANIFEST, ["speaker"], pc.field("split") == "train")
    voices = set(pc.unique(learned["speaker"]).to_pylist())
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
