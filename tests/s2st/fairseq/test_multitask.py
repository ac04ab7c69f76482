import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from s2st.audio import encode
from s2st.config import UserError
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.multitask import (
    FISHER,
    AuxiliaryTask,
    ctc_steps,
    letters,
    read_multitask,
    words,
    write_multitask,
)
from s2st.fairseq.speech_folder import Source
from s2st.fairseq.speech_to_speech import UnitPair, write_s2ut

TARGETS = {"train": {"a": ["x", "y", "x"], "b": ["y", "x", "ü"]}, "dev": {"c": ["z"]}}


@pytest.fixture
def folder(tmp_path):
    audio = encode(np.random.default_rng(0).standard_normal(4_000).astype(np.float32) / 10)
    pairs = {split: [UnitPair(Source(name, "r", audio), (1,)) for name in names] for split, names in TARGETS.items()}
    write_s2ut(tmp_path, pairs, 3, reduce=True)
    return tmp_path


@pytest.mark.parametrize("text", ["so it is", "यह घर है", "a", ""])
def test_letters_come_back_as_words(text):
    assert words(letters(text)) == text


def test_each_word_has_an_end():
    assert letters(" so  it ") == ["s", "o", "|", "i", "t", "|"]
    with pytest.raises(UserError, match=re.escape("the text 'a|b' holds '|'")):
        letters("a|b")


def test_tasks_come_back(folder):
    numbers = {split: {name: ["2", "0"] for name in targets} for split, targets in TARGETS.items()}
    ctc = {"decoder_type": "ctc", "decoder_layer": 3, "loss_weight": 0.5}
    tasks = {
        "letters": AuxiliaryTask(FISHER["source_letter"], TARGETS, ("x", "y", "ü", "z")),
        "numbers": AuxiliaryTask(ctc, numbers, ("0", "1", "2")),
    }
    write_multitask(folder, tasks)
    assert read_multitask(folder, ["train", "dev"]) == tasks
    assert (folder / "numbers" / "dict.txt").read_text() == "0 1\n1 1\n2 1\n"


def test_frequent_symbols_come_first(folder):
    write_multitask(folder, {"letters": AuxiliaryTask(FISHER["source_letter"], TARGETS)})
    assert Dictionary.load(folder / "letters" / "dict.txt").symbols == ("x", "y", "z", "ü")


@pytest.mark.parametrize(
    ("targets", "symbols", "message"),
    [
        ({"train": {"a": ["x"]}, "dev": {"c": ["x"]}}, (), "task 't', split 'train', pair 'b': there is no target"),
        ({"train": {"a": [], "b": []}, "dev": {"c": []}}, (), "task 't': the dictionary is empty"),
        ({"train": {"a": ["x"], "b": []}, "dev": {"c": ["x"]}}, (), "pair 'b': there is no target"),
        ({**TARGETS, "dev": {"c": ["x"], "d": ["x"]}}, (), "dev.tsv has no pair 'd'"),
        ({"train": TARGETS["train"]}, (), "task 't' has the splits ['train'], but"),
        (TARGETS, ("x", "y", "ü"), "split 'dev', pair 'c': 'z' is not in the dictionary"),
        ({**TARGETS, "dev": {"c": ["<s>"]}}, (), "has '<s>' twice, or as a special symbol"),
        ({**TARGETS, "dev": {"c": ["x y"]}}, (), "the symbol 'x y' is empty or holds a blank"),
        ({**TARGETS, "dev": {"c": [""]}}, (), "the symbol '' is empty or holds a blank"),
    ],
)
def test_what_fairseq_would_misread_is_not_written(folder, targets, symbols, message):
    with pytest.raises(UserError, match=re.escape(message)):
        write_multitask(folder, {"t": AuxiliaryTask(FISHER["target_letter"], targets, symbols)})
    assert not (folder / "config_multitask.yaml").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"encoder_layers": 6}, "task 't' has the unknown setting 'encoder_layers'"),
        ({"encoder_layer": 6, "decoder_layer": 3}, "task 't' has both encoder_layer and decoder_layer"),
        ({"decoder_type": "rnn", "encoder_layer": 6}, "task 't' has decoder_type 'rnn'"),
    ],
)
def test_wrong_settings_are_refused(folder, settings, message):
    with pytest.raises(UserError, match=re.escape(message)):
        write_multitask(folder, {"t": AuxiliaryTask(settings, TARGETS)})


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("t/train.tsv", "b\ty x ü\n", "", "t/train.tsv has no target for pair 'b' of"),
        ("t/train.tsv", "y x ü", "y q ü", "t/train.tsv, line 3: 'q' is not in the dictionary"),
        ("t/train.tsv", "y x ü", "", "t/train.tsv, line 3: there is no target"),
        ("t/dev.tsv", "c\t", "d\t", "t/dev.tsv, line 2:"),
        ("t/dev.tsv", "tgt_text", "text", "t/dev.tsv, line 1: the columns are"),
        ("t/dict.txt", "y 1", "y", "t/dict.txt, line 2 is no entry of a dictionary"),
        ("t/dict.txt", "y 1", "x 1", "t/dict.txt, line 2 has the symbol 'x' of"),
        ("t/dict.txt", "x 1\ny 1\nz 1\nü 1\n", "", "t/dict.txt is empty"),
        ("config_multitask.yaml", "dict: ", "dict_: ", "task 't' has no dict or data"),
        ("config_multitask.yaml", "dict.txt", "dict2.txt", "t/dict2.txt: No such file"),
    ],
)
def test_wrong_lines_are_named(folder: Path, file, old, new, message):
    write_multitask(folder, {"t": AuxiliaryTask(FISHER["target_letter"], TARGETS)})
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    with pytest.raises(UserError, match=re.escape(message)):
        read_multitask(folder, ["train", "dev"])


@pytest.mark.parametrize("tokens", ["ab", "aa", "aaa", "abba", "a"])
def test_ctc_needs_a_blank_between_equal_tokens(tokens):
    target = torch.tensor([["-ab".index(token) for token in tokens]])
    for steps in range(1, 8):
        scores = torch.zeros(steps, 1, 3).log_softmax(2)
        loss = F.ctc_loss(scores, target, torch.tensor([steps]), torch.tensor([len(tokens)]))
        assert loss.isfinite() == (ctc_steps(tokens) <= steps)


def test_pairs_that_decoder_ctc_cannot_learn_are_named(folder):
    tasks = {name: AuxiliaryTask(FISHER[name], TARGETS) for name in ("target_letter", "decoder_target_ctc")}
    # one unit and its end are two steps: enough for one token
    assert write_multitask(folder, tasks) == {"target_letter": [], "decoder_target_ctc": ["a", "b"]}


@pytest.mark.parametrize("name", ["audio", "a/b", "..", "a.b", ""])
def test_names_that_are_no_folder_are_refused(folder, name):
    with pytest.raises(UserError, match="cannot be the name of a folder and a module"):
        write_multitask(folder, {name: AuxiliaryTask(FISHER["target_letter"], TARGETS)})
