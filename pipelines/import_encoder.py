"""Make an encoder from elsewhere one of ours, for units of its features: HuBERT, wav2vec 2.0 or CPC."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from s2st import checkpoint, storage
from s2st.fairseq import checkpoints, cpc
from s2st.interop import huggingface, torchaudio
from stages.run import main
from stages.stage import Counts, Stage, Step

READERS: dict[str, Callable[[str], tuple[nn.Module, dict[str, Any]]]] = {
    "fairseq": checkpoints.read_encoder,
    "huggingface": huggingface.read_encoder,
    "torchaudio": torchaudio.read_bundle,
    "cpc": cpc.read_cpc,
}


@dataclass(frozen=True)
class ImportEncoderConfig:
    """Where the encoder is: exactly one of these. Files and folders may lie in a bucket."""

    fairseq: str | None = None  # checkpoint (.pt) of HuBERT or wav2vec 2.0, such as mhubert_base_vp_en_es_fr_it3.pt
    huggingface: str | None = None  # folder with config.json and model.safetensors, of the same models
    torchaudio: str | None = None  # bundle that is fetched, such as HUBERT_BASE or WAV2VEC2_XLSR53
    cpc: str | None = None  # checkpoint of CPC_audio, such as cpc_big_ll6kh_top_ctc.pt

    def __post_init__(self) -> None:
        given = [name for name, value in asdict(self).items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(READERS)}, found {' and '.join(given) or 'none'}")


def check(config: ImportEncoderConfig, step: Step) -> None:
    """Raise UserError if the file or folder is not there, or torchaudio has no such bundle."""
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
    ((kind, address),) = ((kind, address) for kind, address in asdict(config).items() if address is not None)
    model, info = READERS[kind](address)
    checkpoint.save(step.output, model, info)
    return Counts(0, 1, unit="encoders")


STAGE = Stage(ImportEncoderConfig, run, reads={}, check=check)

if __name__ == "__main__":
    main("pipelines.import_encoder")
