"""What a recipe costs at sizes that were never run: core-hours of each stage, from the rates that were measured.

python -m benchmarks.scale

Writes the tables of docs/scale.md. Prices and sizes are inputs, in benchmarks/scale.yaml; rates are the newest of each
name in results.jsonl. Trainings take the updates of the recipe, whatever the size of the data.
"""

import datetime
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import hubert, readme, results, units, vocoder
from benchmarks.results import Row
from pipelines.dump_units import DumpUnitsConfig
from pipelines.fit_codebook import FitCodebookConfig
from s2st.audio import UNITS_PER_SECOND
from s2st.config import build
from s2st.feature_extractor import FeaturesConfig
from s2st.models.hubert import HubertConfig
from stages import stage
from stages.recipe import find_recipe, open_recipe
from stages.stage import Step, config_of
from trainers.hubert import PretrainHubertConfig
from trainers.translation import TranslationConfig
from trainers.vocoder import VocoderConfig

INPUTS = Path(__file__).with_suffix(".yaml")
PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
PLACE = re.compile(r"(<!-- results: scale -->\n).*?(<!-- end -->)", re.DOTALL)
RATES = (
    "units.mfcc",
    "units.kmeans_fit",
    "units.hubert_fp32",
    "units.bytes_per_hour",
    "hubert.step_rate",
    "translation.train_rate",
    "vocoder.train_rate",
)
UNKNOWN = "not measured"


@dataclass(frozen=True)
class Size:
    name: str
    hours: float  # of speech, all languages together
    languages: int


@dataclass(frozen=True)
class Inputs:
    """What scale.yaml holds."""

    recipe: str
    sizes: tuple[Size, ...]
    core_hour: float  # price
    gpu_hour: float
    cores: int  # of the cluster
    gpu_worth_cores: dict[str, float]  # stage -> cores that one GPU does the work of


@dataclass(frozen=True)
class Work:
    """What one section of the recipe asks for, or one for each language."""

    section: str
    stage: str
    core_hours: float | None  # None: its rate was not measured
    workers: int  # that share it, a core each


def work_of(steps: Sequence[Step], size: Size, speed: Mapping[str, float]) -> list[Work]:
    """Count the work of a recipe's sections; those of one language stand for as many as the size has languages."""
    configs = {step.name: config_of(step) for step in steps}
    found: dict[str, Work] = {}
    for step in steps:
        config = configs[step.name]
        features = config.features if isinstance(config, FitCodebookConfig) else None
        if isinstance(config, DumpUnitsConfig):
            features = configs[step.inputs["codebook"][0]].features
        hours = core_hours(config, features, size.hours, speed)
        workers = config.loop.num_workers if hasattr(config, "loop") else getattr(config, "max_workers", 1)
        work = Work(step.name, step.stage, hours, max(1, workers))
        languages = getattr(config, "languages", ())  # a vocoder of several is one work
        if lang := getattr(config, "lang", "") or (languages[0] if len(languages) == 1 else ""):
            work = _for_each_language(work, lang, size.languages)
        found.setdefault(work.section, work)
    return list(found.values())


def _for_each_language(work: Work, lang: str, languages: int) -> Work:
    hours = None if work.core_hours is None else work.core_hours * languages
    return Work(f"{work.section.removesuffix(lang)}*", work.stage, hours, work.workers * languages)


def core_hours(config: Any, features: FeaturesConfig | None, hours: float, speed: Mapping[str, float]) -> float | None:
    """Count the core-hours of a section on so many hours of speech; None where no rate was measured."""
    extraction = speed["units.mfcc" if features and not features.needs_encoder else "units.hubert_fp32"]
    match config:
        case DumpUnitsConfig():
            return hours / extraction
        case FitCodebookConfig():
            sampled = min(hours, config.num_frames / UNITS_PER_SECOND / 3600)
            # k-means costs as much as there are distances: it was measured with these centroids, on HuBERT base
            size = (features.dim or HubertConfig().width) * config.num_units * config.iterations * config.restarts
            measured = HubertConfig().width * units.NUM_UNITS * FitCodebookConfig().iterations
            return sampled / extraction + sampled * size / measured / speed["units.kmeans_fit"]
        case PretrainHubertConfig():
            batch = _default(hubert.run, "rows") * _default(hubert.run, "seconds")
            return _updates(config) * config.batch_seconds / batch / speed["hubert.step_rate"] / 60
        case TranslationConfig():
            return _updates(config) * config.max_tokens / speed["translation.train_rate"] / 3600
        case VocoderConfig():
            segments = _updates(config) * config.batch_size
            return segments / _default(vocoder.run, "rows") / speed["vocoder.train_rate"] / 60
    return None


def _updates(config: Any) -> int:
    """Number of batches that the workers of a training take together."""
    return config.loop.max_steps * config.loop.accumulate * config.loop.num_workers


def _default(benchmark: Callable[..., Any], size: str) -> float:
    """What a benchmark was run with."""
    return inspect.signature(benchmark).parameters[size].default


def inputs_table(inputs: Inputs) -> str:
    """Lay out the inputs, which are the reader's to change."""
    return markdown(
        ["input, in `benchmarks/scale.yaml`", "value"],
        [
            *[[size.name, f"{size.hours:,.0f} hours, {size.languages} languages"] for size in inputs.sizes],
            ["a core for an hour", f"{inputs.core_hour:g}"],
            ["a GPU for an hour", f"{inputs.gpu_hour:g}"],
            ["cores of the cluster", f"{inputs.cores}"],
        ],
    )


def rates_table(inputs: Inputs, rates: Mapping[str, Row]) -> str:
    """Lay out what was measured, and from which speed on a GPU does the same for less."""
    rows = []
    for name, row in rates.items():
        origin = f"{row.date[:10]}, commit {row.commit}, {row.machine}"
        enough = f"{number(row.ours * inputs.gpu_hour / inputs.core_hour)} {row.unit.replace('CPU-', '')}"
        rows.append([f"`{name}`", f"{number(row.ours)} {row.unit}", enough if "CPU-" in row.unit else "", origin])
    return markdown(["rate", "of one core", "a GPU pays above", "measured"], rows)


def size_table(inputs: Inputs, works: Sequence[Work]) -> str:
    """Lay out the work of a size: on cores, and on GPUs where their worth is given."""
    rows = []
    for work in works:
        if work.core_hours is not None:
            worth = inputs.gpu_worth_cores.get(work.stage)
            on_gpus = number(work.core_hours / worth * inputs.gpu_hour) if worth else UNKNOWN
            on_cores = number(work.core_hours * inputs.core_hour)
            hours = number(wall_hours(work, inputs.cores))
            rows.append([work.section, number(work.core_hours), on_cores, hours, on_gpus])
    total = sum(work.core_hours or 0 for work in works)
    rows.append(["all of these", number(total), number(total * inputs.core_hour), "", ""])
    return markdown(["section", "core-hours", "cost on cores", "hours on the cluster", "cost on GPUs"], rows)


def wall_hours(work: Work, cores: int) -> float:
    """Hours that a section takes if its workers, a core each, share the work without loss."""
    return (work.core_hours or 0) / min(work.workers, cores)


def bottleneck(works: Sequence[Work], cores: int) -> str:
    """Name the dearest section and the longest."""
    hours = {work.section: work.core_hours or 0 for work in works}
    dearest = max(hours, key=lambda section: hours[section])
    longest = max(works, key=lambda work: wall_hours(work, cores))
    return (
        f"**Bottleneck**: in cost `{dearest}` ({hours[dearest] / sum(hours.values()):.0%} of the core-hours); in time "
        f"`{longest.section}`, whose {longest.workers} workers take {number(wall_hours(longest, cores) / 24)} days."
    )


def heard(steps: Sequence[Step], size: Size) -> str:
    """Say how often the trainings of HuBERT hear each hour, which tells whether their updates suit the size."""
    configs = {step.name: config_of(step) for step in steps}
    times = [
        f"`{name}` {number(_updates(config) * config.batch_seconds / 3600 / size.hours)}"
        for name, config in configs.items()
        if isinstance(config, PretrainHubertConfig)
    ]
    return f"Times that each hour is heard: {', '.join(times)}."


def number(value: float) -> str:
    """Write a number with as many digits as it is known by."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def text_of(inputs: Inputs, rates: Mapping[str, Row]) -> str:
    """Lay out the page's tables, with their origin."""
    _, steps, _ = open_recipe(find_recipe(inputs.recipe), [])
    parts = [inputs_table(inputs), rates_table(inputs, rates)]
    speed = {name: row.ours for name, row in rates.items()}
    for size in inputs.sizes:
        works = work_of(steps, size, speed)
        stored = number(size.hours * speed["units.bytes_per_hour"] / 1000)
        others = ", ".join(f"`{work.section}`" for work in works if work.core_hours is None)
        parts += [f"### {size.name}", size_table(inputs, works), bottleneck(works, inputs.cores)]
        parts.append(f"{heard(steps, size)} A set of units takes {stored} GB. {UNKNOWN.capitalize()}: {others}.")
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    parts.append(f"`python -m benchmarks.scale`, recipe {inputs.recipe}, {date}, commit {stage.commit()}.")
    return "\n\n".join(parts) + "\n"


def read_rates() -> dict[str, Row]:
    """Find the newest of each rate."""
    newest = {row.name: row for row in readme.newest(results.RESULTS.read_text(encoding="utf-8").splitlines())}
    return {name: newest[name] for name in RATES}


def main() -> None:
    """Update the page."""
    inputs = build(Inputs, yaml.safe_load(INPUTS.read_text(encoding="utf-8")), INPUTS.name)
    text = text_of(inputs, read_rates())
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda found: found[1] + text + found[2], page), encoding="utf-8")


if __name__ == "__main__":
    main()
