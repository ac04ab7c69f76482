"""What a model folder stands on: its parts, the trainings that made them, and whether text was used for any."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s2st import checkpoint, storage, translators
from s2st.config import UserError
from s2st.models.codebook import Codebook
from s2st.recognizers import PACKAGE_FILE, SPEECH_MODEL_FILE
from stages.records import records_below
from stages.stage import MADE_BY, TRAINING_COST

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
TEXT_STAGES = ("trainers.recognizer", "pipelines.import_recognizer", "pipelines.assemble_cascade")
# Stages whose models were trained elsewhere; of a hosted service, nobody says what it learned from.
ELSEWHERE = ("pipelines.import_", "pipelines.assemble_hosted")
TRAININGS = ("trainers.", "pipelines.fit_codebook")  # how the names of stages begin that learn


@dataclass(frozen=True)
class Origin:
    needs_text: bool | None  # None where nobody says
    parameters: dict[str, int]  # of each part on its way, by section; none where one is not known
    trainings: dict[str, float]  # core-seconds of each training that made a part, by section
    gpu_seconds: float  # of all of them
    elsewhere: bool  # a part was trained elsewhere, at a cost that is not known


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
    trainings = {name: below for name, below in records.items() if below["stage"].startswith(TRAININGS)}
    all_records = {section: record, **records}
    uses = [uses_text(f"{run_folder}/{name}", below) for name, below in all_records.items()]
    return Origin(
        needs_text=True if True in uses else None if None in uses else False,
        parameters={name: num_parameters(part) for name, part in folders.items()} if known else {},
        trainings={name: core_seconds(f"{run_folder}/{name}", below) for name, below in trainings.items()},
        gpu_seconds=sum(gpu_seconds(f"{run_folder}/{name}", below) for name, below in trainings.items()),
        elsewhere=not known or any(below["stage"].startswith(ELSEWHERE) for below in all_records.values()),
    )


def uses_text(folder: str, record: Mapping[str, Any]) -> bool | None:
    """Tell whether a step, by its record and its folder, learned from texts or translates by them; None: unknown."""
    stage = record["stage"]
    if stage == "trainers.ctc":  # without labels, which are units, it learns letters
        return not record["inputs"].get("labels")
    if stage == "trainers.speech_to_units":
        tasks = checkpoint.read_config(folder, "s2ut")["config"]["tasks"].values()
        return any(task["target"].endswith("letters") for task in tasks)
    if stage == "pipelines.import_encoder":  # with languages it hears letters
        return bool(record["settings"].get("languages"))
    if stage == "pipelines.assemble_hosted":
        return None
    if stage == "pipelines.import_translator" and record["settings"]["kind"] != "unit_transformer":
        return None  # tasks beside translation may have been letters
    return stage in TEXT_STAGES


def core_seconds(folder: str, record: Mapping[str, Any]) -> float:
    """Give the CPU time that a training took, which other work on the machine leaves as it is.

    That of its data workers is not in it, nor updates that a kill lost. A codebook took that of its step. Raises
    UserError for a training by an older version, which did not count it.
    """
    if not record["stage"].startswith("trainers."):
        return float(record["cpu_seconds"])
    cost = f"{folder}/{TRAINING_COST}"
    if not storage.is_file(cost):
        raise UserError(f"{folder} was trained by an older version, which did not count its cost; delete it, run again")
    return float(storage.read_json(cost)["core_seconds"])


def gpu_seconds(folder: str, record: Mapping[str, Any]) -> float:
    """Give the time for which a training held GPUs, of all of them together."""
    if not record["settings"].get("loop", {}).get("use_gpu"):
        return 0.0
    return float(storage.read_json(f"{folder}/{TRAINING_COST}")["worker_seconds"])


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
