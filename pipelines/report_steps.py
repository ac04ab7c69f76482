"""What a report says of a run's steps: what each took and cost, what it rejected, and the data they began with."""

import datetime
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from s2st import audio, storage
from s2st.corpora.corpus import SPLITS
from s2st.evaluation import report_content as content
from s2st.schemas import MANIFEST
from stages import datasets
from stages.stage import TRAINING_COST, Step

DIFFERENT = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*")  # names and numbers, in which reasons of one kind differ
MOST_REASONS = 5  # of each step

Records = Mapping[str, Mapping[str, Any]]  # by step, in the order in which they ended


@dataclass(frozen=True)
class HourPrices:
    """What an hour of the machines costs, which only their user knows."""

    cpu_hour: float = 0.0
    gpu_hour: float = 0.0
    currency: str = "USD"

    def __post_init__(self) -> None:
        if min(self.cpu_hour, self.gpu_hour) < 0:
            raise ValueError("prices must not be negative")


def elapsed_seconds(records: Sequence[Mapping[str, Any]]) -> float:
    """Time from the begin of the first step to the end of the last one, pauses included."""
    ends = [datetime.datetime.fromisoformat(record["date"]) for record in records]
    starts = [end - datetime.timedelta(seconds=record["seconds"]) for end, record in zip(ends, records, strict=True)]
    return (max(ends) - min(starts)).total_seconds()


def stage_rows(step: Step, records: Records, prices: HourPrices | None) -> list[content.StageRow]:
    """Make the rows of steps; CPUs and GPUs are those that a step's settings give to its workers."""
    rows = []
    for name, record in records.items():
        cpu_hours, gpu_hours = _device_hours(step, name, record)
        costs: Counter[str] = Counter()
        if prices is not None:
            costs[prices.currency] += prices.cpu_hour * cpu_hours + prices.gpu_hour * gpu_hours  # type: ignore[assignment]
        hosted = f"{step.run_folder}/{name}/_cost.json"
        if storage.is_file(hosted) and "cost" in (charged := storage.read_json(hosted)):
            costs[charged["currency"]] += charged["cost"]
        counts = record["rows_in"], record["rows_out"], record["rejects"], record["audio_hours"] or None
        rows.append(content.StageRow(name, *counts, record["seconds"], cpu_hours, gpu_hours, costs))
    return rows


def _device_hours(step: Step, name: str, record: Mapping[str, Any]) -> tuple[float, float]:
    """Give the hours for which all workers of a step held CPUs and GPUs.

    Those of a training are of all its starts, without what a kill lost and the time in which workers start.
    """
    settings = record["settings"]
    cost = f"{step.run_folder}/{name}/{TRAINING_COST}"
    if storage.is_file(cost):
        hours = storage.read_json(cost)["worker_seconds"] / 3600
        return hours * settings["loop"]["cpus_per_worker"], hours * settings["loop"]["use_gpu"]
    hours = max(1, settings.get("max_workers", 1)) * record["seconds"] / 3600
    return hours, hours * settings.get("num_gpus", 0.0)


def reject_rows(step: Step, records: Records) -> list[content.Rejects]:
    """Count the rejects of each step by reason, the most frequent first; the rarest of many are one row."""
    rows = []
    for name in (name for name, record in records.items() if record["rejects"]):
        by_kind: dict[str, list[str]] = defaultdict(list)
        for reject in datasets.rejects(f"{step.run_folder}/{name}"):
            by_kind[DIFFERENT.sub("…", reject["reason"])].append(reject["reason"])
        ordered = sorted(by_kind.values(), key=lambda alike: (-len(alike), min(alike)))
        rows += [content.Rejects(name, min(alike), len(alike)) for alike in ordered[:MOST_REASONS]]
        if rest := ordered[MOST_REASONS:]:
            rows.append(content.Rejects(name, f"{len(rest)} other reasons", sum(map(len, rest))))
    return rows


def data_rows(manifest: str) -> list[content.DataRow]:
    """Count the recordings of each language and split."""
    columns = ["lang", "split", "sentence_id", "speaker", "num_samples"]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in datasets.read_table(manifest, MANIFEST, columns).to_pylist():
        groups[row["lang"], row["split"]].append(row)
    return [
        content.DataRow(
            lang,
            split,
            len(rows),
            len({row["sentence_id"] for row in rows}),
            len({row["speaker"] for row in rows}),
            sum(row["num_samples"] for row in rows) / audio.SAMPLE_RATE / 3600,
        )
        for (lang, split), rows in sorted(groups.items(), key=lambda item: (item[0][0], SPLITS.index(item[0][1])))
    ]
