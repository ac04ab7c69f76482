"""Translate one split of the pairs, batched on the workers: their units, or their recordings.

With `pairs` the source is units, for a unit Transformer; with `speech_pairs` it is speech, for models that hear it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.batch_translator import COSTS, BatchTranslator
from s2st import checkpoint, storage, translators
from s2st.baselines import hosted_cost
from s2st.baselines.hosted import HostedTranslator
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.model_folder import read_model_folder
from s2st.pairing import target_languages
from s2st.schemas import PAIRS, SPEECH_PAIRS, TRANSLATIONS
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

LIMITS = ("max_len_a", "max_len_b")
CHOICES = ("beam", "length_penalty", "no_repeat_ngram", "temperature", "sampling", "top_k", "top_p")


@dataclass(frozen=True)
class TranslateConfig:
    split: Literal["train", "validation", "test"] = "test"
    beam: int = 5  # width of the search
    length_penalty: float = 1.0  # scores are divided by length ** length_penalty: large ones favour long translations
    # A translation has at most max_len_a * source length + max_len_b tokens; none means the model's own. A source's
    # length is in tokens, or in frames of 10 ms where it is speech.
    max_len_a: float | None = None
    max_len_b: int | None = None
    no_repeat_ngram: int = 0  # no n-gram of this size comes twice; 0: all may
    temperature: float = 1.0  # logits are divided by it
    sampling: bool = False  # draw a translation instead of searching for the best; beam is not used then
    top_k: int = 0  # draw from so many of the likeliest tokens; 0: from all
    top_p: float = 1.0  # draw from the fewest tokens that hold this probability together
    seed: int = 0  # of what is drawn; it also depends on which pairs share a batch
    batch_rows: int = resource(32)  # sentences decoded at once
    max_workers: int = resource(2)
    num_gpus: float = resource(0.0)  # of each worker; fractions share a GPU

    def __post_init__(self) -> None:
        SearchOptions(**self.search())  # which checks them

    def search(self) -> dict[str, Any]:
        """Give the settings of the search that are not left to the model."""
        return {name: getattr(self, name) for name in LIMITS + CHOICES if getattr(self, name) is not None}


def check(config: TranslateConfig, step: Step) -> None:
    """Raise UserError unless one kind of pairs is given."""
    if bool(step.inputs.get("pairs")) == bool(step.inputs.get("speech_pairs")):
        raise UserError(
            f"section '{step.name}' needs pairs, for a model that translates units, or speech_pairs, for one that "
            "hears speech; name one of the two"
        )


def check_inputs(config: TranslateConfig, step: Step) -> None:
    """Raise UserError if the pairs are not of the kind that the model translates, or of other units."""
    folder, schema = source(step)
    translator = translators.describe(step.input("model"))
    kind = translator["model"]
    if kind == "hosted":  # its key is looked for here: a worker without it would be started again and again
        HostedTranslator.load(step.input("model"))
    if (kind == "unit_transformer") != (schema is PAIRS):
        needed = "pairs" if kind == "unit_transformer" else "speech_pairs"
        raise UserError(f"section '{step.name}': its model is a {kind}; name {needed} instead")
    check_search(config, step, translator)
    model = read_model_folder(step.input("model"))
    if model["units"] is None:
        raise UserError(f"section '{step.name}': its model has no codebook to compare units by; assemble it with one")
    codebooks = set(datasets.read_table(folder, schema, ["codebook"])["codebook"].to_pylist())
    if units := codebooks - {model["units"]}:
        raise UserError(
            f"section '{step.name}': the pairs are of units {units.pop()}, the model knows {model['units']}"
        )


def check_search(config: TranslateConfig, step: Step, translator: dict[str, Any]) -> None:
    """Raise UserError if a setting of the search would do nothing; beam 1 may be told to what is greedy anyway."""
    if translator["model"] in translators.BASELINES:
        told, idle = f"is a {translator['model']}, whose parts search as they are set", LIMITS + CHOICES
    elif translator["model"] in checkpoint.SPECTROGRAM_MODELS:
        told, idle = "speaks spectrograms, which are not searched for", LIMITS + CHOICES
    elif translator["config"].get("units_per_step", 1) > 1:
        told, idle = "stacks units, which are found greedily", CHOICES
    else:
        return
    default = TranslateConfig()
    changed = [name for name in idle if getattr(config, name) != getattr(default, name)]
    if found := [name for name in changed if name != "beam" or config.beam > 1]:
        raise UserError(f"section '{step.name}': its model {told}; remove {', '.join(found)}")


def source(step: Step) -> tuple[str, pa.Schema]:
    """Give the folder of the pairs, and their schema."""
    if step.inputs.get("pairs"):
        return step.input("pairs"), PAIRS
    return step.input("speech_pairs"), SPEECH_PAIRS


def run(config: TranslateConfig, step: Step) -> Counts:
    """Translate every pair of the split whose target language the model speaks, but those that it cannot take."""
    folder, schema = source(step)
    model = read_model_folder(step.input("model"))
    pairs = datasets.read_table(folder, schema, ["split", "source_lang", "target_lang"])
    languages = set(model["vocoders"]) or set(target_languages(model["directions"]))
    spoken = chosen_rows(config.split, set(model["directions"]), languages)
    num_chosen = sum(map(spoken, pairs.to_pylist()))
    if not num_chosen:
        raise UserError(f"section '{step.name}': no pair of the split '{config.split}' is in a direction of the model")
    translations = (
        datasets.read(folder, schema)
        .map_batches(lambda table: _filter(table, spoken), batch_format="pyarrow")
        .map_batches(
            BatchTranslator,
            fn_constructor_args=(step.input("model"), config.search(), config.seed, step.output),
            batch_format="pyarrow",
            batch_size=config.batch_rows,
            **cluster.pool(config.max_workers, config.num_gpus),
        )
    )
    datasets.write(translations, step.output, ["source_lang", "target_lang"])
    table = datasets.read_table(step.output, TRANSLATIONS, ["seconds", "finished", "loops"])
    num_rejects = len(datasets.rejects(step.output))
    datasets.check_nothing_lost(step.output, num_chosen, len(table), num_rejects)
    if cut := len(table) - pc.sum(table["finished"]).as_py():
        loops = pc.sum(table["loops"]).as_py()
        share = f"{cut} of {len(table)}"
        tell(f"{step.name}: {share} translations did not end by themselves and are cut, {loops} of them loop")
    if costs := hosted_cost.add_up(f"{step.output}/{COSTS}"):
        storage.write_json(f"{step.output}/_cost.json", costs)
        price = f", {costs['cost']:.2f} {costs['currency']}" if "cost" in costs else ""
        tell(f"{step.name}: {costs['requests']} requests{price}")
    return Counts(num_chosen, len(table), num_rejects, round(sum(table["seconds"].to_pylist()) / 3600, 4))


def chosen_rows(split: str, directions: set[str], languages: set[str]) -> Callable[[dict[str, Any]], bool]:
    """Make the test of whether a pair is of this split and in a direction that the model translates and speaks."""

    def chosen(row: dict[str, Any]) -> bool:
        direction = f"{row['source_lang']}-{row['target_lang']}"
        return row["split"] == split and direction in directions and row["target_lang"] in languages

    return chosen


def _filter(table: pa.Table, keep: Callable[[dict[str, Any]], bool]) -> pa.Table:
    rows = table.select(["split", "source_lang", "target_lang"]).to_pylist()
    return table.filter(pa.array([keep(row) for row in rows], pa.bool_()))


STAGE = Stage(
    TranslateConfig,
    run,
    reads={
        "pairs": Input(PAIRS, optional=True),
        "speech_pairs": Input(SPEECH_PAIRS, optional=True),
        "model": Input(),
    },
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.translate")
