"""Make an encoder from elsewhere one of ours, for units of its features: HuBERT, wav2vec 2.0 or CPC.

One that was fine-tuned by CTC becomes a model as of trainers.ctc if its languages are named: a recognizer of letters,
or, with the input `codebook`, a normaliser that hears its units.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from s2st import checkpoint, storage
from s2st.config import UserError
from s2st.fairseq import checkpoints, cpc
from s2st.interop import huggingface, torchaudio
from s2st.models.hubert_ctc import HubertCtc
from s2st.speech_to_units import units_info
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

READERS: dict[str, Callable[[str], tuple[nn.Module, dict[str, Any]]]] = {
    "fairseq": checkpoints.read_encoder,
    "huggingface": huggingface.read_encoder,
    "torchaudio": torchaudio.read_bundle,
    "cpc": cpc.read_cpc,
}
CTC_READERS = {"fairseq": checkpoints.read_ctc, "huggingface": huggingface.read_ctc}


@dataclass(frozen=True)
class ImportEncoderConfig:
    """Where the encoder is: exactly one of these. Files and folders may lie in a bucket."""

    fairseq: str | None = None  # checkpoint (.pt) of HuBERT or wav2vec 2.0, such as mhubert_base_vp_en_es_fr_it3.pt
    huggingface: str | None = None  # folder with config.json and model.safetensors, of the same models
    torchaudio: str | None = None  # bundle that is fetched, such as HUBERT_BASE or WAV2VEC2_XLSR53
    cpc: str | None = None  # checkpoint of CPC_audio, such as cpc_big_ll6kh_top_ctc.pt
    languages: tuple[str, ...] = ()  # that a model fine-tuned by CTC hears: its output is kept

    def __post_init__(self) -> None:
        given = [name for name in READERS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(READERS)}, found {' and '.join(given) or 'none'}")
        if self.languages and given[0] not in CTC_READERS:
            raise ValueError(f"languages are of models of {' or '.join(CTC_READERS)}, but {given[0]} is given")

    @property
    def origin(self) -> tuple[str, str]:
        """Which reader, and the address."""
        return next((name, getattr(self, name)) for name in READERS if getattr(self, name) is not None)


def check(config: ImportEncoderConfig, step: Step) -> None:
    """Raise UserError if the file or folder is not there, or torchaudio has no such bundle."""
    if step.input_list("codebook") and not config.languages:
        raise UserError(f"section '{step.name}': a codebook is of a normaliser of units; name its languages, too")
    if config.fairseq is not None:
        storage.need_file(config.fairseq, f"{step.name}.fairseq")
    if config.huggingface is not None:
        storage.need_folder(config.huggingface, f"{step.name}.huggingface")
    if config.cpc is not None:
        storage.need_file(config.cpc, f"{step.name}.cpc")
    if config.torchaudio is not None:
        torchaudio.find_bundle(config.torchaudio)


def run(config: ImportEncoderConfig, step: Step) -> Counts:
    """Read it, and write it as a checkpoint that fit_codebook takes as its encoder."""
    kind, address = config.origin
    if config.languages:
        recognizer, info = CTC_READERS[kind](address)
        checkpoint.save(step.output, recognizer, {**info, **hears(recognizer, config, step)})
    else:
        model, info = READERS[kind](address)
        checkpoint.save(step.output, model, info)
    return Counts(0, 1, unit="encoders")


def hears(model: HubertCtc, config: ImportEncoderConfig, step: Step) -> dict[str, Any]:
    """Say of what its symbols are, as trainers.ctc does; raises UserError for units that are not the codebook's."""
    symbols, languages = model.config.symbols, list(config.languages)
    if not step.input_list("codebook"):
        if all(map(str.isdecimal, symbols)):
            raise UserError(
                f"section '{step.name}': this model hears units; name the input 'codebook' that they are of"
            )
        return {"labels": "letters", "languages": languages}
    name, num_units = units_info(step.input("codebook"))
    if others := set(symbols) - set(map(str, range(num_units))):
        raise UserError(
            f"section '{step.name}': this model hears '{min(others)}', which is no unit of {step.input('codebook')}"
        )
    return {"labels": "units", "codebook": name, "languages": languages}


STAGE = Stage(ImportEncoderConfig, run, reads={"codebook": Input(optional=True)}, check=check)

if __name__ == "__main__":
    main("pipelines.import_encoder")
