"""Dictionaries inside checkpoints: what is read of them, and what hostile files may put in their place."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from s2st.config import UserError
from s2st.fairseq import task_state
from s2st.fairseq.checkpoints import read_ctc
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.task_state import PICKLE, read_dictionaries, written
from s2st.fairseq.unpickle import read_fairseq

SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]


class Forged:
    """What a hostile file has in the place of a dictionary: any state."""

    def __init__(self, **state: Any) -> None:
        self.__dict__.update(state)


def numbered(symbols: list[Any]) -> Forged:
    return Forged(symbols=symbols, indices={symbol: i for i, symbol in enumerate(symbols)})


def read(path: Path, state: Any) -> dict[str, list[Dictionary]]:
    torch.save({"model": {}, "cfg": {}, "task_state": state}, path, pickle_module=PICKLE)
    return read_dictionaries(read_fairseq(str(path))["task_state"], str(path))


def test_dictionaries_come_back_without_fairseq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fairseq"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "fairseq", None)
    labels, letters = Dictionary.by_number(3), Dictionary.of(["|", "ट", "a b"])
    state = {"dictionaries": [written(labels), None], "target_dictionary": written(letters)}
    assert read(tmp_path / "model.pt", state) == {"dictionaries": [labels], "target_dictionary": [letters]}
    for nothing in (None, {}, [1], {"dictionaries": [None]}):
        assert read(tmp_path / "model.pt", nothing) == {"dictionaries": [], "target_dictionary": []}


def test_fairseq_s_own_dictionary_is_read_and_ours_is_one_of_its(tmp_path: Path) -> None:
    data = pytest.importorskip("fairseq.data")
    dictionary = data.Dictionary()
    dictionary.add_symbol("|")
    dictionary.add_symbol("a", n=3)
    found = read(tmp_path / "model.pt", {"target_dictionary": dictionary})["target_dictionary"]
    assert found == [Dictionary.of(["|", "a"])]
    torch.save(written(Dictionary(("|", "a"), (1, 3))), tmp_path / "ours.pt", pickle_module=PICKLE)
    loaded = torch.load(tmp_path / "ours.pt", weights_only=False)
    assert type(loaded) is data.Dictionary
    assert vars(loaded) == vars(dictionary)


@pytest.mark.parametrize(
    ("forged", "message"),
    [
        ("dict.ltr.txt", "is a str without symbols"),
        (Forged(), "is a Forged without symbols"),
        (Forged(symbols="abc", indices={}), "no list of up to"),
        (Forged(symbols=[*SPECIALS, "a"]), "no list of up to"),
        (numbered([*SPECIALS, *map(str, range(50))]), "no list of up to 50 symbols"),
        (numbered([*SPECIALS, 7]), "symbols that are no text"),
        (Forged(symbols=[*SPECIALS, torch.ones(2)], indices={}), "symbols that are no text"),
        (numbered([*SPECIALS, "\ud800"]), "symbols that are no text"),
        (numbered(["<s>", "a", "b", "c", "d"]), "does not begin with <s> <pad> </s> <unk>"),
        (numbered([*SPECIALS, "a", "a"]), "symbols twice, or out of the order"),
        (Forged(symbols=[*SPECIALS, "a"], indices={**dict(zip(SPECIALS, range(4), strict=True)), "a": 5}), "twice, or"),
        (Forged(symbols=SPECIALS, indices=dict.fromkeys(SPECIALS, torch.ones(2))), "twice, or out of"),
        (Forged(symbols=SPECIALS, indices=dict(zip([*SPECIALS, "a"], range(5), strict=True))), "twice, or out of"),
        ([Forged()] * 101, "has 101 dictionaries"),
    ],
)
def test_forged_dictionaries_are_refused_in_a_sentence(tmp_path: Path, monkeypatch, forged, message) -> None:
    monkeypatch.setattr(task_state, "MAX_SYMBOLS", 50)
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path / "model.pt", {"target_dictionary": forged})
    assert "\n" not in str(error.value)


class Command:
    """What runs `touch` when a plain unpickler reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


def test_a_command_in_the_place_of_a_dictionary_is_not_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "trace", tmp_path / "model.pt"
    output = {"w2v_encoder.proj.weight": torch.ones(6, 8), "w2v_encoder.proj.bias": torch.ones(6)}
    for state in (
        {"target_dictionary": Command(trace)},
        {"target_dictionary": Forged(symbols=[*SPECIALS, Command(trace)], indices={})},
        {"target_dictionary": Forged(symbols=Command(trace), indices=Command(trace))},
    ):
        torch.save({"model": output, "cfg": Command(trace), "task_state": state}, path)
        with pytest.raises(UserError, match="its target_dictionary"):
            read_ctc(str(path))
    torch.save({"model": output, "cfg": {}, "task_state": Command(trace)}, path)
    with pytest.raises(UserError, match="does not say its letters"):
        read_ctc(str(path))
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the pickle of this test should be dangerous elsewhere"


def test_the_written_class_is_no_class_of_this_module(tmp_path: Path) -> None:
    """A plain pickler would name the stand-in, and no other program could read the file."""
    torch.save(written(Dictionary.of("a")), tmp_path / "model.pt", pickle_module=PICKLE)
    assert b"fairseq.data.dictionary\nDictionary" in (tmp_path / "model.pt").read_bytes()
    assert b"s2st" not in (tmp_path / "model.pt").read_bytes()
