"""Judge a unit language model: how well it foretells true speech, and how varied what it says is.

Beside its perplexity on the test split stand those of n-grams that were counted in its training split, and beside the
diversity of what it says that of the recordings. A recogniser, if there is one, hears what comes after the prompts.
"""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
import torch

from pipelines.continue_speech import check_units, language_model_info, samples_of
from pipelines.evaluate import check_recognizers
from s2st import audio, checkpoint, storage
from s2st.config import UserError, build
from s2st.continuation import surprisals
from s2st.evaluation.bootstrap import interval, ratio
from s2st.evaluation.ngram_model import Ngram, NgramModel, count_ngrams, histories_of
from s2st.evaluation.sample_diversity import diversity
from s2st.evaluation.spoken_text import spoken_text
from s2st.models.unit_lm import UnitLm, UnitLmConfig
from s2st.recognizers import Recognizers
from s2st.schemas import CONTINUATION_SCORES, CONTINUATIONS, UNITS
from s2st.units import UnitVocabulary, reduce
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

NGRAMS = {"trigram": 3, "bigram": 2, "unigram": 1}  # that the model is compared with


@dataclass(frozen=True)
class ScoreContinuationsConfig:
    seed: int = 0  # of the intervals
    batch_rows: int = resource(16)
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU


class Surprise:
    """Takes utterances and says how probable they are."""

    def __init__(self, language_model: str):
        model, _ = checkpoint.load(language_model, "unit_lm")
        assert isinstance(model, UnitLm)
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu")

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of UNITS into rows {utterance_id, nats}."""
        nats = surprisals(self.model, [reduce(np.asarray(units))[0] for units in table["units"].to_pylist()])
        return pa.table({"utterance_id": table["utterance_id"], "nats": nats})


class Listener:
    """Takes rows of CONTINUATIONS and gives those of CONTINUATION_SCORES."""

    def __init__(self, recognizers: Sequence[str]):
        self.recognizers = Recognizers(recognizers)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Hear what comes after the prompts."""
        rows = table.to_pylist()
        for row in rows:
            row["units"] = row["units"][row["num_prompt_units"] :]
        if rows and self.recognizers.by_language:
            sounds = [audio.encode(samples_of(row["audio"])[row["prompt_samples"] :]) for row in rows]
            for row, text in zip(rows, self.recognizers.transcribe(rows[0]["lang"], sounds), strict=True):
                row["heard_text"] = text
        return pa.Table.from_pylist(rows, CONTINUATION_SCORES)


def check_inputs(config: ScoreContinuationsConfig, step: Step) -> None:
    """Raise UserError unless the units are the model's, and a recogniser, if there is one, hears its language."""
    info = language_model_info(step)
    check_units(step, info)
    if step.input_list("recognizers"):
        check_recognizers(step, {info["lang"]})
    if not len(judged_split(step)):
        raise UserError(f"section '{step.name}': no utterance of the test split can be scored by the language model")


def run(config: ScoreContinuationsConfig, step: Step) -> Counts:
    """Listen and foretell on the workers, score here; writes rows and _scores.json."""
    heard = datasets.read(step.input("continuations"), CONTINUATIONS).map_batches(
        Listener,
        fn_constructor_args=(step.input_list("recognizers"),),
        batch_format="pyarrow",
        batch_size=config.batch_rows,
        **cluster.pool(config.max_workers, config.num_gpus),
    )
    rows = sorted(heard.take_all(), key=lambda row: (row["kind"], row["utterance_id"]))
    num_rows = datasets.count(step.input("continuations"), CONTINUATIONS)
    datasets.check_nothing_lost(step.output, num_rows, len(rows), 0)
    datasets.write_table(pa.Table.from_pylist(rows, CONTINUATION_SCORES), step.output)
    lang = language_model_info(step)["lang"]
    scores = {lang: {**foretold(config, step), "speech": {kind: spoken(rows, kind, lang) for kind in kinds(rows)}}}
    storage.write_json(f"{step.output}/_scores.json", scores)
    told = (f"{name} {found['value']:.1f}" for name, found in scores[lang]["perplexity"].items())
    tell(f"{step.name}: perplexity of {lang}: {', '.join(told)}")
    return Counts(num_rows, len(rows))


def model_config(step: Step) -> UnitLmConfig:
    """Read the settings of the step's language model, without weights."""
    folder = step.input("language_model")
    return build(UnitLmConfig, checkpoint.read_config(folder, "unit_lm")["config"], folder)


def known(step: Step, split: str) -> pc.Expression:
    """Choose the utterances of a split that the model is of and has positions for."""
    runs, most = pc.list_value_length(pc.field("durations")), model_config(step).max_positions
    ours = (pc.field("split") == split) & (pc.field("lang") == language_model_info(step)["lang"])
    return ours & (runs > 0) & (runs < most)  # the end of the utterance before takes one position


def judged_split(step: Step) -> pa.Table:
    """Read the utterances that are judged: {utterance_id, units, durations}."""
    return datasets.read_table(step.input("units"), UNITS, ["utterance_id", "units", "durations"], known(step, "test"))


def foretold(config: ScoreContinuationsConfig, step: Step) -> dict[str, Any]:
    """Score the test split: perplexity a reduced unit, the ends of utterances counted, of the model and of n-grams."""
    vocabulary = model_config(step).vocabulary
    table = judged_split(step)
    judged = surprisals_of(config, step, table)
    nats = {"language model": [judged[name] for name in table["utterance_id"].to_pylist()]}
    test = tokens_of(vocabulary, table)
    ngrams = NgramModel(counted(step, test), vocabulary.num_units + 1)
    for name, order in NGRAMS.items():
        nats[name] = [ngrams.surprisal(tokens, order) for tokens in test]
    num_tokens = np.array([len(tokens) - 1 for tokens in test], float)
    seconds = sum(map(sum, table["durations"].to_pylist())) / audio.UNITS_PER_SECOND
    return {
        "recordings": len(test),
        "tokens": int(num_tokens.sum()),
        "num_units": vocabulary.num_units,
        "nats_per_unit": sum(nats["language model"]) / num_tokens.sum(),
        "bits_per_second": sum(nats["language model"]) / np.log(2) / seconds,
        "perplexity": {name: perplexity(found, num_tokens, config.seed) for name, found in nats.items()},
    }


def counted(step: Step, test: list[list[int]]) -> Counter[Ngram]:
    """Count n-grams of the training split on the workers: those that begin as some of the test split do."""
    vocabulary, learned = model_config(step).vocabulary, known(step, "train")
    histories = ray.put(histories_of(test, max(NGRAMS.values())))

    def count(table: pa.Table) -> pa.Table:
        found = count_ngrams(tokens_of(vocabulary, table.filter(learned)), max(NGRAMS.values()), ray.get(histories))
        return pa.table(
            {"ngram": pa.array(found.keys(), pa.list_(pa.int32())), "count": pa.array(found.values(), pa.int64())}
        )

    units = datasets.read(step.input("units"), UNITS, ["lang", "split", "units", "durations"])
    total: Counter[Ngram] = Counter()
    for batch in units.map_batches(count, batch_format="pyarrow").iter_batches(batch_format="pyarrow"):
        for ngram, times in zip(batch["ngram"].to_pylist(), batch["count"].to_pylist(), strict=True):
            total[tuple(ngram)] += times
    return total


def surprisals_of(config: ScoreContinuationsConfig, step: Step, table: pa.Table) -> dict[str, float]:
    """Let the language model foretell utterances on the workers: {utterance_id: nats}."""
    by_length = table.take(pc.sort_indices(pc.list_value_length(table["durations"])))  # little padding
    found = (
        ray.data.from_arrow(by_length.select(["utterance_id", "units"]))
        .repartition(target_num_rows_per_block=config.batch_rows)
        .map_batches(
            Surprise,
            fn_constructor_args=(step.input("language_model"),),
            batch_format="pyarrow",
            batch_size=config.batch_rows,
            **cluster.pool(config.max_workers, config.num_gpus),
        )
    )
    return {row["utterance_id"]: row["nats"] for row in found.take_all()}


def tokens_of(vocabulary: UnitVocabulary, table: pa.Table) -> list[list[int]]:
    """Encode utterances as the language model reads them: </s> units </s>."""
    reduced = (reduce(np.asarray(units))[0] for units in table["units"].to_pylist())
    return [vocabulary.target_tokens(units, "").tolist() for units in reduced]


def perplexity(nats: Sequence[float], num_tokens: np.ndarray, seed: int) -> dict[str, float]:
    """Perplexity of utterances by their surprisal and tokens, each (U,), with its 95% interval over them."""

    def figure(sums: np.ndarray) -> np.ndarray:
        return np.exp(ratio(sums))

    parts = np.stack([np.asarray(nats), num_tokens], axis=1)
    low, high = interval(parts, seed, figure)
    return {"value": float(figure(parts.sum(0))), "low": low, "high": high}


def kinds(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the kinds of rows of CONTINUATIONS there are, in the order in which they are told."""
    return [kind for kind in ("true", "continued", "sampled") if any(row["kind"] == kind for row in rows)]


def spoken(rows: Sequence[dict[str, Any]], kind: str, lang: str) -> dict[str, Any]:
    """Say of one kind of rows of CONTINUATION_SCORES how long and how varied they are, in units and in words."""
    alike = [row for row in rows if row["kind"] == kind]
    units = [row["units"] for row in alike]
    told = {
        "utterances": len(alike),
        "mean_units": sum(map(len, units)) / len(units),
        "finished": sum(row["finished"] for row in alike) / len(alike),
        "loops": sum(row["loops"] for row in alike) / len(alike),
    }
    if len(alike) > 1:  # one has nothing to be compared with
        told["diversity_of_units"] = dataclasses.asdict(diversity(units))
        if alike[0]["heard_text"] is not None:
            words = [spoken_text(row["heard_text"], lang).split() for row in alike]
            told["mean_words"] = sum(map(len, words)) / len(words)
            told["diversity_of_words"] = dataclasses.asdict(diversity(words))
    return told


STAGE = Stage(
    ScoreContinuationsConfig,
    run,
    reads={
        "continuations": Input(CONTINUATIONS),
        "units": Input(UNITS),
        "language_model": Input(),
        "recognizers": Input(many=True, optional=True),
    },
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.score_continuations")
