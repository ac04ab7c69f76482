"""Checkpoints for fairseq: what is in the file, and what is refused."""

import pickletools
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from s2st.config import UserError
from s2st.fairseq import unpickle
from s2st.fairseq.checkpoint_writer import write_encoder
from s2st.fairseq.checkpoints import read_ctc, read_encoder
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.task_state import PICKLE, written
from s2st.models.hubert import Hubert, HubertConfig
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig, encoder_config
from s2st.models.speech_encoder import SpeechEncoder

TINY = HubertConfig(
    conv_layers=((16, 10, 5), (16, 3, 2), (16, 2, 2)),
    width=32,
    num_layers=2,
    num_heads=2,
    ffn_dim=48,
    positional_kernel=8,
    positional_groups=4,
    final_dim=8,
    num_classes=5,
)
CTC = HubertCtcConfig(("|", "a"), encoder_config(TINY))


@pytest.mark.parametrize("model", [Hubert(TINY), HubertCtc(CTC)], ids=["pre-trained", "fine-tuned"])
def test_the_file_names_tensors_and_one_class_of_fairseq(tmp_path: Path, model) -> None:
    path = tmp_path / "hubert.pt"
    write_encoder(str(path), model.half())
    with zipfile.ZipFile(path) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        operations = list(pickletools.genops(archive.read(record)))
    named = {argument for operation, argument, _ in operations if operation.name in ("GLOBAL", "STACK_GLOBAL")}
    assert named == {
        "fairseq.data.dictionary Dictionary",
        "torch._utils _rebuild_tensor_v2",
        "torch FloatStorage",
        "collections OrderedDict",
    }


def test_models_that_fairseq_has_no_form_of_are_refused(tmp_path: Path) -> None:
    path = f"{tmp_path}/hubert.pt"
    with pytest.raises(UserError, match="has no heads of HuBERT's pre-training.*; write it as huggingface"):
        write_encoder(path, SpeechEncoder(encoder_config(TINY)))  # type: ignore[arg-type]
    for model in (
        Hubert(replace(TINY, width=16)),
        HubertCtc(replace(CTC, encoder=encoder_config(replace(TINY, width=16)))),
    ):
        with pytest.raises(UserError, match=r"convolutions as wide as its Transformer \(16\)"):
            write_encoder(path, model)
    assert not list(tmp_path.iterdir())


def test_fine_tuned_files_without_output_or_letters_are_refused(tmp_path: Path) -> None:
    path = f"{tmp_path}/hubert.pt"
    write_encoder(path, Hubert(TINY))
    with pytest.raises(UserError, match="has no output of CTC"):
        read_ctc(path)
    write_encoder(path, HubertCtc(CTC))
    assert type(read_encoder(path)[0]) is SpeechEncoder
    content = unpickle.read(path)
    path = f"{tmp_path}/changed.pt"  # the tensors of the other file stay in it
    content["task_state"] = None
    torch.save(content, path, pickle_module=PICKLE)
    with pytest.raises(UserError, match="does not say its letters"):
        read_ctc(path)
    content["task_state"] = {"target_dictionary": written(Dictionary.of("|ab"))}
    path = f"{tmp_path}/longer.pt"
    torch.save(content, path, pickle_module=PICKLE)
    with pytest.raises(UserError, match="an output that does not fit its 3 symbols"):
        read_ctc(path)
