"""Translate one split of the pairs, batched on the workers: their units, or their recordings.

With `pairs` the source is units, for a unit Transformer; with `speech_pairs` it is speech, for models that hear it.
"""

import dataclasses
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from s2st import audio, checkpoint, griffin_lim, storage, translators
from s2st.baselines import hosted_cost
from s2st.baselines.cascade import CascadeTranslator
from s2st.baselines.hosted import HostedTranslator
from s2st.beam_search import SearchOptions
from s2st.config import UserError
from s2st.features.filterbank import check_lengths
from s2st.features.speech_mel import speech_log_mel, to_mel_rate
from s2st.model_folder import read_model_folder
from s2st.pairing import target_languages
from s2st.schemas import PAIRS, SPEECH_PAIRS, TRANSLATIONS
from s2st.spectrogram_translator import SpectrogramTranslator
from s2st.translator import Translator, check_units
from stages import cluster, datasets
from stages.console import tell
from stages.run import main
from stages.stage import Counts, Input, Stage, Step, resource

COSTS = "_costs"  # folder in the output: what each worker had a hosted service do, and the price of it
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
        self.options(SearchOptions())  # which checks them

    def options(self, default: SearchOptions) -> SearchOptions:
        """What is searched by, where a model has these defaults."""
        given = {name: getattr(self, name) for name in LIMITS + CHOICES if getattr(self, name) is not None}
        return dataclasses.replace(default, **given)


class BatchTranslator:
    """Takes pairs and gives translations with their audio."""

    def __init__(self, model: str, config: TranslateConfig, output: str):
        """Pairs that the model cannot take are set aside beside the dataset `output`."""
        self.output, self.name = output, uuid.uuid4().hex
        self.translator: Any = translators.load(model, "cuda" if torch.cuda.is_available() else "cpu")
        self.options, self.seed = config.options(self.translator.search), config.seed

    def __call__(self, table: pa.Table) -> pa.Table:
        """Turn rows of PAIRS or SPEECH_PAIRS into rows of TRANSLATIONS, one batch a target language."""
        rows, rejects = self._open(table.to_pylist())
        datasets.set_aside(rejects, self.output)
        if rows:  # each batch has a seed of its own, whichever worker takes it
            torch.manual_seed(zlib.crc32(f"{self.seed} {rows[0]['pair_id']}".encode()))
        done: list[dict[str, Any]] = []
        for target in sorted({row["target_lang"] for row in rows}):
            done += self._translate([row for row in rows if row["target_lang"] == target], target)
        return pa.Table.from_pylist(done, schema=TRANSLATIONS)

    def _open(self, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Put source and target beside each row; give those that can be used, and the others as rows of REJECTS."""
        good, rejects = [], []
        for row in rows:
            try:
                good.append({**row, "source": self._source(row), "target": self._target(row)})
            except (UserError, audio.AudioError) as error:
                reason = f"pair '{row['pair_id']}': {error}"
                rejects.append({"utterance_id": row["source_utterance_id"], "lang": row["source_lang"]})
                rejects[-1].update(split=row["split"], reason=reason)
        return good, rejects

    def _source(self, row: dict[str, Any]) -> np.ndarray:
        """Give the units or the waveform; raises UserError for too few or too many, AudioError for no audio."""
        if isinstance(self.translator, Translator):
            units = np.asarray(row["source_units"], dtype=np.int32)
            check_units(self.translator.translator, units, row["source_lang"])
            return units
        waveform = audio.decode(row["source_audio"])
        check_lengths([waveform], self.translator.max_source_frames)
        return waveform

    def _target(self, row: dict[str, Any]) -> Any:
        """Give what the model is to say: the true units, or the waveform or the text where its voice speaks those."""
        if isinstance(self.translator, CascadeTranslator):
            return row["target_text"]
        if isinstance(self.translator, SpectrogramTranslator | HostedTranslator):
            return audio.decode(row["target_audio"])
        return np.asarray(row["target_units"], dtype=np.int32)

    def _translate(self, rows: list[dict[str, Any]], target: str) -> list[dict[str, Any]]:
        units = isinstance(self.translator, Translator)
        translate = self.translator.translate_units if units else self.translator.translate_batch
        sources, langs = [row["source"] for row in rows], [row["source_lang"] for row in rows]
        try:
            translations = translate(sources, langs, target, self.options)
        finally:
            if isinstance(self.translator, HostedTranslator):  # what was done is paid, though one of them failed
                storage.write_json(f"{self.output}/{COSTS}/{self.name}.json", self.translator.totals())
        done = []
        ceilings = self._ceilings([row["target"] for row in rows], target)
        for row, translation, ceiling in zip(rows, translations, ceilings, strict=True):
            done.append(
                {
                    **{name: row[name] for name in TRANSLATIONS.names if name in row},
                    "units": translation.units.tolist(),
                    "durations": translation.durations.tolist(),
                    "reference_units": row["target_units"],
                    "finished": translation.finished,
                    "loops": translation.loops,
                    "audio": audio.encode(translation.waveform),
                    "ceiling_audio": audio.encode(ceiling),
                    "seconds": len(translation.waveform) / audio.SAMPLE_RATE,
                }
            )
        return done

    def _ceilings(self, references: list[Any], lang: str) -> list[np.ndarray]:
        """Give what the voice can say at best: the true units, spectrogram or text.

        A hosted voice costs money, and for its best the recording stands.
        """
        if isinstance(self.translator, HostedTranslator):
            return references
        if isinstance(self.translator, CascadeTranslator):
            return self.translator.speaker.speak(references, lang)
        if isinstance(self.translator, SpectrogramTranslator):
            return [griffin_lim.speak_resampled(speech_log_mel(to_mel_rate(true))) for true in references]
        return [waveform for waveform, _ in self.translator.voices[lang].speak(references, lang)]


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
            fn_constructor_args=(step.input("model"), config, step.output),
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
