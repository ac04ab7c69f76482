"""Our CPC against the model in fairseq's textless examples, tiny and random, out of a file in its format."""

import argparse
import runpy
from pathlib import Path

import pytest
import torch

from s2st import checkpoint
from s2st.config import UserError
from s2st.fairseq.cpc import read_cpc
from s2st.models.cpc import Cpc, CpcConfig

fairseq = pytest.importorskip("fairseq")
READER = Path(fairseq.__file__).parent / "examples/textless_nlp/gslm/speech2unit/pretrained/cpc_feature_reader.py"


@pytest.fixture(scope="module")
def reader() -> dict:
    if not READER.is_file():
        pytest.skip("this fairseq comes without its examples")
    return runpy.run_path(str(READER))


def write_reference(reader: dict, path: str, randomize, levels: int = 3) -> torch.nn.Module:
    """A model with more levels than are read, as GSLM's: its reader takes the first ones."""
    model = reader["CPCModel"](reader["CPCEncoder"](24), reader["CPCAR"](24, 20, False, levels)).eval()
    randomize(model)
    config = {"hiddenEncoder": 24, "hiddenGar": 20, "nLevelsGRU": levels}
    weights = {**model.state_dict(), "cpcCriterion.wPrediction.predictors.0.weight": torch.ones(2)}
    torch.save({"config": config, "weights": weights, "args": argparse.Namespace(x=1)}, path)
    return model


def test_every_layer_equals_the_reference(tmp_path, reader, randomize) -> None:
    path = f"{tmp_path}/cpc.pt"
    write_reference(reader, path, randomize)
    cpc, info = read_cpc(path)
    assert cpc.config == CpcConfig(24, 20, 3)
    assert info == {"architecture": "cpc", "source": path}
    plain = torch.load(path, weights_only=False)
    for layer in (1, 2, 3):
        levels = reader["CPCModel"](reader["CPCEncoder"](24), reader["CPCAR"](24, 20, False, layer)).eval()
        levels.load_state_dict(plain["weights"], strict=False)
        for length in (159, 160, 161, 1_000, 5_003):
            waveform = torch.randn(2, length) * 0.1
            with torch.no_grad():
                expected = levels.extract_features(waveform[:, None])
                features, frames = cpc.extract(waveform, torch.tensor([length] * 2), layer)
            assert frames.tolist() == [expected.shape[1]] * 2
            torch.testing.assert_close(features, expected, atol=2e-6, rtol=1e-5)


def test_padded_batch_equals_single_utterances(tmp_path, reader, randomize, check_padding) -> None:
    path = f"{tmp_path}/cpc.pt"
    write_reference(reader, path, randomize)
    check_padding(read_cpc(path)[0], 2)


def test_a_converted_model_is_stored_and_others_are_refused(tmp_path, reader, randomize) -> None:
    path = f"{tmp_path}/cpc.pt"
    write_reference(reader, path, randomize)
    cpc, info = read_cpc(path)
    checkpoint.save(f"{tmp_path}/ours", cpc, info)
    again, _ = checkpoint.load(f"{tmp_path}/ours", "cpc")
    assert type(again) is Cpc
    assert checkpoint.fingerprint(again) == checkpoint.fingerprint(cpc)
    torch.save({"weights": {"gEncoder.conv0.weight": torch.ones(2, 1, 10)}}, path)
    with pytest.raises(UserError, match="holds no CPC that is known here"):
        read_cpc(path)
    torch.save({"model": {}}, path)
    with pytest.raises(UserError, match="has no 'weights'"):
        read_cpc(path)
