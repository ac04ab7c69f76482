"""What a model folder stands on: its parts, the trainings that made them, and whether text was used for any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s2st import checkpoint, storage, translators
from s2st.models.codebook import Codebook
from s2st.recognizers import PACKAGE_FILE, SPEECH_MODEL_FILE
from stages.records import records_below
from stages.stage import MADE_BY

# Inputs of the section that assembles a model which are on the way from speech to speech, by the kind of its
# translator: a codebook that only tells the units of what was said is not.
PARTS = {
    "unit_transformer": ("codebook", "translator", "vocoders"),
    "s2ut": ("translator", "vocoders"),
    **dict.fromkeys(checkpoint.SPECTROGRAM_MODELS, ("translator",)),
    "cascade": ("recognizers",),
    "hosted": (),
}
FOREIGN_PARTS = ("whisper", "text_models", "speech_models")  # settings of a cascade that name models from elsewhere
TEXT_STAGES = (
    "trainers.recognizer",
    "pipelines.import_recognizer",
    "pipelines.assemble_cascade",
    "pipelines.assemble_hosted",
)
TRAININGS = ("trainers.", "pipelines.fit_codebook")  # how the names of stages begin that learn


@dataclass(frozen=True)
class Origin:
    needs_text: bool
    parameters: dict[str, int]  # of each part on its way, by section; none where one is not known
    trainings: dict[str, float]  # core-seconds of each training that made a part, by section


def origin_of(run_folder: str, section: str) -> Origin:
    """Read what the model of a section stands on."""
    folder = f"{run_folder}/{section}"
    kind = translators.describe(folder)["model"]
    record = storage.read_json(f"{folder}/{MADE_BY}")
    parts = [name for part in PARTS[kind] for name in record["inputs"].get(part, [])]
    # what makes spectrograms learns nothing of the units by which its pairs were found
    records = records_below(run_folder, parts, ["speech_pairs"] if kind in checkpoint.SPECTROGRAM_MODELS else [])
    known = kind != "hosted" and not any(record["settings"].get(name) for name in FOREIGN_PARTS)
    folders = {name: f"{run_folder}/{name}" for name in parts}
    foreign = [f"{part}/{file}" for part in folders.values() for file in (PACKAGE_FILE, SPEECH_MODEL_FILE)]
    known = known and not any(map(storage.is_file, foreign))
    return Origin(
        uses_text(record) or any(uses_text(below) for below in records.values()),
        {name: num_parameters(part) for name, part in folders.items()} if known else {},
        {name: core_seconds(below) for name, below in records.items() if below["stage"].startswith(TRAININGS)},
    )


def uses_text(record: Mapping[str, Any]) -> bool:
    """Tell whether a step, by its record, learned from texts or translates by them."""
    settings = record["settings"]
    if record["stage"] == "trainers.ctc":  # without labels, which are units, it learns letters
        return not record["inputs"].get("labels")
    if record["stage"] == "trainers.speech_to_units":
        tasks = settings["model"]["tasks"].values()
        return settings["config_multitask"] is not None or any(task["target"].endswith("letters") for task in tasks)
    return record["stage"] in TEXT_STAGES


def core_seconds(record: Mapping[str, Any]) -> float:
    """Give the time that a training took, by its record.

    In the step's own process that is CPU time, which other work on the machine leaves as it is; on workers of its own
    it is the time of all workers, as long as the step lasted. The making of batches on data workers is not in it, nor
    what came before a training was resumed.
    """
    workers = record["settings"].get("loop", {}).get("num_workers", 0)
    return float(workers * record["seconds"] if workers else record.get("cpu_seconds", record["seconds"]))


def num_parameters(folder: str) -> int:
    """Count the parameters of a checkpoint, without heads that only training needs.

    Those of a codebook are the numbers in its centroids, and the parameters of its encoder.
    """
    model, _ = checkpoint.load(folder)
    if isinstance(model, Codebook):
        encoder = f"{folder}/encoder"
        below = num_parameters(encoder) if storage.is_file(f"{encoder}/{checkpoint.CONFIG}") else 0
        return model.centroids.numel() + below
    return sum(value.numel() for name, value in model.named_parameters() if not name.startswith("tasks."))
