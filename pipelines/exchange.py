"""Exchange data with fairseq: write its formats from our datasets, or read them into datasets of ours.

A section does one of three things:

    to_fairseq:                       # -> <run>/to_fairseq/km/en/train.tsv, train.km, dict.km.txt, ...
      stage: pipelines.exchange
      units: units
      write: [km, quantized]
    units:                            # a dataset of UNITS, as dump_units makes
      stage: pipelines.exchange
      codebook: codebook
      read_units: [{format: km, path: labels/train.km, tsv: tsv/train.tsv, lang: en, split: train}]
    pairs:                            # a dataset of PAIRS, as build_pairs makes
      stage: pipelines.exchange
      codebook: codebook
      read_pairs: [{format: binarized, path: data-bin, source_lang: en, target_lang: hi}]

Recordings of a fairseq manifest come in by pipelines.ingest (corpus `tsv`), and so do the sources of S2UT and S2SPECT
(`s2s`); the target units of S2UT come in here (read_units, format s2ut).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines import fairseq_export, fairseq_speech
from pipelines.fairseq_export import Export, Order
from pipelines.fairseq_import import origin
from pipelines.fairseq_pairs import PairsSource, import_pairs
from pipelines.fairseq_units import UnitsSource, check_dictionary, import_units
from s2st import storage
from s2st.config import UserError
from s2st.fairseq import codebooks
from s2st.schemas import MANIFEST, PAIRS, UNITS
from s2st.speech_to_units import units_info
from stages import datasets
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

Format = Literal["manifest", "km", "quantized", "unit_files", "text", "binarized", "s2ut", "s2spect", "kmeans"]

# What each format is written from, and by what. A new format is a line here, and a name above.
WRITERS: dict[str, tuple[tuple[str, ...], Callable[[Export, Path], int]]] = {
    "manifest": (("manifest",), fairseq_export.write_manifests),
    "km": (("units",), fairseq_export.write_km),
    "quantized": (("units",), fairseq_export.write_quantized_files),
    "unit_files": (("units",), fairseq_export.write_unit_files),
    "text": (("pairs",), fairseq_export.write_text),
    "binarized": (("pairs",), fairseq_export.write_binarized),
    "s2ut": (("pairs", "manifest"), fairseq_speech.write_s2ut_folders),
    "s2spect": (("pairs", "manifest"), fairseq_speech.write_s2spect_folders),
    "kmeans": (("codebook",), fairseq_export.write_kmeans),
}

LOCAL = ("s2ut", "s2spect")  # fairseq reads their audio by a path in config.yaml
FILES = ("km", "quantized")  # units that are in one file; those of other formats are in a folder


@dataclass(frozen=True)
class ExchangeConfig:
    write: tuple[Format, ...] = ()  # exactly one of these three
    read_units: tuple[UnitsSource, ...] = ()
    read_pairs: tuple[PairsSource, ...] = ()
    num_units: int = 0  # where no codebook is given; 0 when writing: up to the greatest unit there is
    units_name: str = ""  # of units that are read without a codebook: units of one name are taken for the same
    dictionary: Order = "number"  # of binarized: unit u is token u + 4, or fairseq's default
    multitask: bool = False  # of s2ut, s2spect: auxiliary tasks too, letters of the texts of source and target

    def __post_init__(self) -> None:
        given = [name for name in ("write", "read_units", "read_pairs") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of write, read_units and read_pairs, found {given or 'none'}")
        if self.dictionary != "number" and "binarized" not in self.write:
            raise ValueError(f"dictionary={self.dictionary} is of the format binarized, which is not written")
        if self.multitask and not {"s2ut", "s2spect"} & set(self.write):
            raise ValueError("multitask=true is of the formats s2ut and s2spect, and neither is written")
        if self.units_name and self.write:
            raise ValueError("units_name is of units that are read; what is written has a name")
        if self.units_name and not self.units_name.replace("_", "").isalnum():
            raise ValueError(f"units_name '{self.units_name}' must be letters, digits and _")


def check(config: ExchangeConfig, step: Step) -> None:
    """Raise UserError for what cannot be written with the inputs there are, or not be read with them."""
    if step.input_list("codebook") and (config.num_units or config.units_name):
        raise UserError(f"section '{step.name}': the codebook says num_units and units_name; remove these settings")
    if config.write:
        check_writing(config, step)
    else:
        check_reading(config, step)


def check_writing(config: ExchangeConfig, step: Step) -> None:
    """Raise UserError for a format that lacks an input, a local folder or scikit-learn."""
    for name in config.write:
        missing = [needed for needed in WRITERS[name][0] if not step.input_list(needed)]
        if missing:
            raise UserError(f"section '{step.name}' cannot write {name} without the input '{missing[0]}'; name it")
        if name in LOCAL and "://" in step.output:
            raise UserError(
                f"section '{step.name}' cannot write {name} to {step.output}: fairseq reads its audio from local "
                "folders only; choose one with run=..."
            )
    if "kmeans" in config.write:
        codebooks.need_scikit_learn(f"{step.output}/kmeans/{codebooks.EXPORTS['fairseq']}")


def check_reading(config: ExchangeConfig, step: Step) -> None:
    """Raise UserError for units of unknown origin, inputs that a format refuses, and files that are not there."""
    formats = {source.format for source in config.read_units}
    if not step.input_list("codebook"):
        if "features" in formats:
            raise UserError(f"section '{step.name}': features become units by a codebook; name the input 'codebook'")
        if config.num_units < 1 or not config.units_name:
            raise UserError(f"section '{step.name}' needs the input 'codebook', or num_units and units_name")
    if "s2ut" in formats and step.input_list("manifest"):
        raise UserError(f"section '{step.name}': the targets of s2ut are of no manifest; remove the input 'manifest'")
    for source in config.read_units:
        need = storage.need_file if source.format in FILES else storage.need_folder
        need(source.path, f"{step.name}.read_units")
        if source.tsv:
            storage.need_file(source.tsv, f"{step.name}.read_units")
    for pairs in config.read_pairs:
        storage.need_folder(pairs.path, f"{step.name}.read_pairs")


def check_inputs(config: ExchangeConfig, step: Step) -> None:
    """Raise UserError for labels of more units than the codebook has."""
    num_units = units_info(step.input("codebook"))[1] if step.input_list("codebook") else config.num_units
    for source in config.read_units:
        if source.format == "km":
            check_dictionary(Path(source.path).with_name("dict.km.txt"), num_units)


def run(config: ExchangeConfig, step: Step) -> Counts:
    """Do what the settings ask for."""
    if config.write:
        return export(config, step)
    units = origin(step, config.num_units, config.units_name)
    if config.read_units:
        return import_units(config.read_units, step, units)
    return import_pairs(config.read_pairs, step, units)


def export(config: ExchangeConfig, step: Step) -> Counts:
    """Write each format."""
    with fairseq_export.local_folder(step.output) as folder:
        given = Export(step, Path(folder), config.write, config.num_units, config.dictionary, config.multitask)
        rows = sum(WRITERS[name][1](given, given.folder / name) for name in config.write)
    num_rejects = len(datasets.rejects(step.output))
    return Counts(rows, rows - num_rejects, num_rejects)


STAGE = Stage(
    ExchangeConfig,
    run,
    reads={
        "manifest": Input(MANIFEST, optional=True),
        "units": Input(UNITS, optional=True),
        "pairs": Input(PAIRS, optional=True),
        "codebook": Input(optional=True),
    },
    check=check,
    check_inputs=check_inputs,
)

if __name__ == "__main__":
    main("pipelines.exchange")
