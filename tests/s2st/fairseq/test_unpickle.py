"""Checkpoints from outside: what fairseq writes is read, what others may hide in them is not run."""

import argparse
import enum
import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from pyarrow import fs

from s2st.config import UserError
from s2st.fairseq import unpickle

WEIGHTS = {"w": torch.arange(6.0).view(2, 3), "p": torch.nn.Parameter(torch.ones(2)), "h": torch.ones(3).half()}


class Command:
    """What runs `touch` when a plain unpickler reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


class Mode(enum.Enum):
    GROUP = "default"


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_namespace_and_unknown_classes_become_plain_data(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    args = argparse.Namespace(arch="hubert", normalize=True, mode=Mode.GROUP, w2v_args=argparse.Namespace(layers=3))
    state = {"args": args, "model": WEIGHTS, "extra_state": {"device": torch.device("cpu"), "type": torch.float16}}
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    read = unpickle.read_fairseq(str(path))
    assert set(read["model"]) == set(WEIGHTS)
    for name, value in WEIGHTS.items():
        assert torch.equal(read["model"][name], value)
    expected = {"arch": "hubert", "normalize": True, "mode": "default", "w2v_args": {"layers": 3}}
    assert read["cfg"] == {"model": expected, "task": expected}


def test_fairseq_s_own_layout_is_read(tmp_path: Path) -> None:
    data = pytest.importorskip("fairseq.data")
    omegaconf = pytest.importorskip("omegaconf")
    dictionary = data.Dictionary()
    dictionary.add_symbol("0")
    settings = {
        "common": {"seed": 1},
        "model": {"_name": "hubert", "layers": 2, "conv": "[(2, 3, 4)]", "none": None, "some": [1, {"a": 0.5}]},
        "task": {"normalize": False, "labels": ["km"], "label_rate": "${model.layers}"},
    }
    state = {
        "args": None,
        "cfg": omegaconf.OmegaConf.create(settings),
        "model": WEIGHTS,
        "task_state": {"dictionaries": [dictionary]},
        "optimizer_history": [{"optimizer_name": "FairseqAdam", "num_updates": 3}],
        "last_optimizer_state": {"state": {0: {"exp_avg": torch.ones(2)}}},
    }
    path = tmp_path / "model.pt"
    torch.save(state, path)
    read = unpickle.read_fairseq(str(path))
    assert read["cfg"] == settings
    assert torch.equal(read["model"]["w"], WEIGHTS["w"])


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_malicious_pickle_does_nothing(tmp_path: Path, zipped: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "model.pt"
    torch.save({"model": WEIGHTS, "args": Command(trace)}, path, _use_new_zipfile_serialization=zipped)
    assert unpickle.read_fairseq(str(path))["cfg"]["model"] == f"touch {trace}"
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the pickle of this test should be dangerous elsewhere"


def test_functions_reached_by_detours_are_stubs_too(tmp_path: Path) -> None:
    """getattr(os, "system"), and a state set on a function that tensors are made with."""
    path = tmp_path / "model.pt"
    for attack in (
        b"cbuiltins\ngetattr\n(cos\npath\nVsystem\ntR(Vtrue\ntR.",
        b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        b"ctorch._utils\n_rebuild_tensor_v2\n(N}V__defaults__\n(I7\ntstb0N.",
    ):
        buffer = io.BytesIO()
        torch.save({}, buffer)
        with zipfile.ZipFile(buffer) as archive, zipfile.ZipFile(path, "w") as changed:
            for record in archive.infolist():
                changed.writestr(record.filename, attack if "data.pkl" in record.filename else archive.read(record))
        with pytest.raises(UserError, match="not a checkpoint that can be read|instead of a dict"):
            unpickle.read(str(path))
    assert torch._utils._rebuild_tensor_v2.__defaults__ == (None,), "the default of its metadata"
    assert unpickle._tensor.__defaults__ is None


class Enlarged:
    """A tensor of 4 bytes that says it has 4 TB."""

    def __reduce__(self) -> tuple:
        return torch._utils._rebuild_tensor, (torch.ones(1)._typed_storage(), 0, (10**12,), (1,))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_tensor_gets_no_memory_that_is_not_in_the_file(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pt"
    torch.save({"model": {"w": Enlarged()}}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match="a tensor is larger than its bytes"):
        unpickle.read(str(path))


def test_broken_and_absurd_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(UserError, match="there is no file"):
        unpickle.read(str(path))
    path.write_bytes(pickle.dumps({"model": {}}))
    with pytest.raises(UserError, match=r"not written by torch\.save"):
        unpickle.read(str(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(UserError, match="larger than the file"):
        unpickle.read(str(path))
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    with pytest.raises(UserError, match="TorchScript"):
        unpickle.read(str(path))
    torch.save([1], path)
    with pytest.raises(UserError, match="holds a list"):
        unpickle.read(str(path))
    torch.save({"weights": {}}, path)
    with pytest.raises(UserError, match="has no 'model' \\(found: weights\\)"):
        unpickle.read_fairseq(str(path))
    torch.save({"model": {"w": torch.ones(1).expand(10**9)}}, path)
    with pytest.raises(UserError, match="not all in the file"):
        unpickle.read_fairseq(str(path))
    data = torch.save({"model": WEIGHTS}, path) or path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="not a checkpoint"):
        unpickle.read(str(path))
    monkeypatch.setattr(unpickle, "MAX_FILE_BYTES", 10)
    with pytest.raises(UserError, match="more than any checkpoint"):
        unpickle.read(str(path))


def test_a_file_in_a_bucket_is_fetched_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": WEIGHTS}, tmp_path / "model.pt")
    bucket = fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem())
    monkeypatch.setattr(unpickle.storage, "resolve", lambda address: (bucket, address.removeprefix("s3://bucket/")))
    read = unpickle.read_fairseq("s3://bucket/model.pt")
    assert torch.equal(read["model"]["w"], WEIGHTS["w"])


def test_settings_that_unfold_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    bomb: list = []
    for _ in range(60):
        bomb = [bomb, bomb]
    loop: dict = {}
    loop["self"] = loop
    for settings in (bomb, loop):
        torch.save({"model": {}, "cfg": settings}, path)
        with pytest.raises(UserError, match="unfold without end"):
            unpickle.read_fairseq(str(path))
