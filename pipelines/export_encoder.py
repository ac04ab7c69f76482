"""Write an encoder in the format of fairseq or of Hugging Face: HuBERT, pre-trained or fine-tuned by CTC.

to_fairseq:                       # -> <run>/to_fairseq/hubert.pt
  stage: pipelines.export_encoder
  encoder: hubert_2               # a section of trainers.hubert, trainers.ctc or pipelines.import_encoder
  format: fairseq
"""

from dataclasses import dataclass
from typing import Literal

from s2st import checkpoint
from s2st.config import build
from s2st.fairseq import checkpoint_writer
from s2st.interop import huggingface_writer
from s2st.models.hubert import Hubert
from s2st.models.hubert_ctc import HubertCtc, foreign_symbols
from s2st.models.speech_encoder import SpeechEncoder
from stages.run import main
from stages.stage import Counts, Input, Stage, Step

KINDS = ("hubert", "hubert_ctc", "speech_encoder")
FAIRSEQ_FILE = "hubert.pt"


@dataclass(frozen=True)
class ExportEncoderConfig:
    format: Literal["fairseq", "huggingface"]  # the file hubert.pt, or config.json, model.safetensors and others


def check_inputs(config: ExportEncoderConfig, step: Step) -> None:
    """Raise UserError unless the input is an encoder that the format has a form of."""
    folder = step.input("encoder")
    found = checkpoint.read_config(folder, *KINDS)
    model = build(checkpoint.MODELS[found["model"]][0], found["config"], folder)
    if config.format == "fairseq":
        checkpoint_writer.check_encoder(model, folder)
    foreign_symbols(getattr(model, "symbols", ()), folder)


def run(config: ExportEncoderConfig, step: Step) -> Counts:
    """Read the encoder and write it."""
    model, info = checkpoint.load(step.input("encoder"), *KINDS)
    if config.format == "fairseq":
        assert isinstance(model, Hubert | HubertCtc), "by check_inputs"
        checkpoint_writer.write_encoder(f"{step.output}/{FAIRSEQ_FILE}", model)
    else:
        assert isinstance(model, SpeechEncoder | HubertCtc)
        huggingface_writer.write_encoder(step.output, model, info.get("architecture", "hubert"))
    return Counts(0, 1, unit="encoders")


STAGE = Stage(ExportEncoderConfig, run, reads={"encoder": Input()}, check_inputs=check_inputs)

if __name__ == "__main__":
    main("pipelines.export_encoder")
