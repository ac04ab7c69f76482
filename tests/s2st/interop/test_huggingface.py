"""Recognisers in folders of Hugging Face: files that do not go together are refused."""

import json
from pathlib import Path

import pytest
import safetensors.torch

from s2st.config import UserError
from s2st.interop.huggingface import read_ctc
from s2st.interop.huggingface_writer import write_encoder
from s2st.models.hubert_ctc import HubertCtc, HubertCtcConfig
from s2st.models.speech_encoder import EncoderConfig

ENCODER = EncoderConfig(width=32, num_layers=1, num_heads=2, ffn_dim=48, conv_layers=((16, 10, 5), (16, 2, 2)))
VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_encoder(str(tmp_path), HubertCtc(HubertCtcConfig(("|", "a"), ENCODER)))
    return tmp_path


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ({**VOCABULARY, "b": 6}, "does not fit the 6 rows"),
        ({**VOCABULARY, "a": -1}, "does not fit the 6 rows"),
        ({"en": VOCABULARY}, "names only 0 of the 6 rows"),
        ({"<pad>": 0, "a": 5}, "names only 2 of the 6 rows"),
        ([], "is not a JSON object"),
    ],
)
def test_vocabularies_of_other_outputs_are_refused(folder: Path, vocabulary, message) -> None:
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(UserError, match=message):
        read_ctc(str(folder))


def test_a_folder_without_letters_or_output_is_refused(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_text())
    for blank in (6, -1, None, "0"):
        (folder / "config.json").write_text(json.dumps({**settings, "pad_token_id": blank}))
        with pytest.raises(UserError, match="does not fit the 6 rows"):
            read_ctc(str(folder))
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "vocab.json").unlink()
    with pytest.raises(UserError, match=r"has no vocab\.json, which says the letters"):
        read_ctc(str(folder))
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    del weights["lm_head.weight"]
    safetensors.torch.save_file(weights, folder / "model.safetensors")
    with pytest.raises(UserError, match="has no output of CTC"):
        read_ctc(str(folder))


@pytest.mark.parametrize("index", [{}, {"metadata": {}}, {"weight_map": {}}, {"weight_map": {"a": 1}}])
def test_an_index_that_names_no_files_is_refused(folder: Path, index) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json does not name the files of its weights; fetch it again"):
        read_ctc(str(folder))
