"""Heads of auxiliary tasks in fairseq's words: read, written, and refused where ours cannot do it."""

import pytest
import yaml

from s2st.config import UserError
from s2st.fairseq.auxiliary_heads import read_task, read_tasks, task_settings, write_tasks
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.multitask import FISHER, MULTITASK, SETTINGS
from s2st.models.auxiliary_tasks import HeadConfig, TaskConfig

SYMBOLS = ("a", "b", "|")


def test_the_tasks_of_the_paper() -> None:
    found = {name: read_task(name, settings, SYMBOLS, "x") for name, settings in FISHER.items()}
    assert found["source_letter"] == TaskConfig("source_letters", SYMBOLS, encoder_layer=6, loss_weight=8.0)
    assert found["target_letter"].decoder == HeadConfig()
    assert found["decoder_target_ctc"] == TaskConfig("target_letters", SYMBOLS, "ctc", decoder_layer=3, loss_weight=1.6)


def test_one_dropout_counts_for_all() -> None:
    head = read_task("a", {"decoder_args": {"dropout": 0.1, "decoder_layers": 3}}, SYMBOLS, "x").decoder
    assert (head.num_layers, head.dropout, head.attention_dropout, head.activation_dropout) == (3, 0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    "task",
    [
        TaskConfig("source_letters", SYMBOLS, encoder_layer=2, loss_weight=8.0, label_smoothing=0.1),
        TaskConfig("target_letters", SYMBOLS, loss_weight_max=3.0, loss_weight_min=0.1, loss_weight_decay_steps=7),
        TaskConfig("target_letters", SYMBOLS, "ctc", decoder_layer=1, zero_infinity=False),
        TaskConfig("target_letters", SYMBOLS, "ctc", loss_weight=0.0),
    ],
)
def test_written_and_read_again(task: TaskConfig) -> None:
    settings = task_settings(task)
    assert set(settings) <= set(SETTINGS)
    assert read_task("source" if task.encoder_layer else "target", settings, SYMBOLS, "x") == task


def test_files(tmp_path) -> None:
    write_tasks(tmp_path, {"letters": TaskConfig(symbols=SYMBOLS)})
    content = yaml.safe_load((tmp_path / MULTITASK).read_text())["letters"]
    assert Dictionary.load(content["dict"]).symbols == SYMBOLS
    assert content["loss_weight"] == 1.0


def test_tasks_with_their_dictionaries(tmp_path) -> None:
    tasks = {
        "source_letter": TaskConfig("source_letters", SYMBOLS, encoder_layer=2),
        "units": TaskConfig("target_units", ("1", "0", "2"), "ctc", loss_weight=3.0),
    }
    write_tasks(tmp_path, tasks)
    assert read_tasks(tmp_path / MULTITASK) == tasks
    assert list(read_tasks(tmp_path / MULTITASK, ["units"])) == ["units"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rdrop_alpha": 1.0}, "task 'a' has rdrop_alpha, which models here have not"),
        ({"decoder_layer": 0, "decoder_type": "ctc"}, "has decoder_layer 0; name a layer, from 1"),
        ({"decoder_args": {"decoder_learned_pos": True}}, "unknown decoder_args 'decoder_learned_pos'"),
        ({"decoder_args": {"share_decoder_input_output_embed": False}}, "share_decoder_input_output_embed=False"),
        ({"loss_weight_max": 2.0}, "loss_weight_max and loss_weight_decay_steps belong together"),
        ({"decoder_layer": 3}, "a transformer cannot hear the decoder"),
    ],
)
def test_mistakes_are_told(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_task("a", settings, SYMBOLS, "config_multitask.yaml")


def test_weights_fall_as_far_as_they_may() -> None:
    task = TaskConfig(loss_weight_max=2.0, loss_weight_min=0.5, loss_weight_decay_steps=3)
    assert [task.weight(step) for step in (0, 1, 2, 3, 9)] == [2.0, 1.5, 1.0, 0.5, 0.5]
    assert TaskConfig(loss_weight=8.0).weight(100) == 8.0
