"""The auxiliary tasks of fairseq's speech_to_speech: tokens that a layer of the translator must tell too.

Each task has a folder with dict.txt and a table a split; `config_multitask.yaml` says where the tasks look.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from s2st.config import UserError
from s2st.fairseq import speech_folder
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.speech_config import DICTIONARY, read_yaml, write_yaml
from s2st.fairseq.speech_folder import AUDIO, read_table
from s2st.fairseq.tsv import Line, count, read_tsv, write_tsv

MULTITASK = "config_multitask.yaml"
TASK_COLUMNS = ("id", "tgt_text")
WORD_END = "|"
SPECIALS = ("<s>", "<pad>", "</s>", "<unk>")  # the first is the blank of CTC

# What fairseq reads of a task, dict and data aside; anything else it passes over in silence. Its tokenizers are left
# out: our tables hold tokens.
SETTINGS = (
    *("decoder_type", "decoder_args", "encoder_layer", "decoder_layer", "label_smoothing", "zero_infinity"),
    *("loss_weight", "loss_weight_max", "loss_weight_min", "loss_weight_decay_steps", "rdrop_alpha"),
    *("is_first_pass_decoder", "eos_token", "prepend_bos_and_append_tgt_lang_tag", "lang_tag_mapping"),
)

# Lee et al. 2021 on Fisher. Encoder layers count from 1, but fairseq's decoder layer 3 is the output of the second:
# it counts the embedding as the first.
FISHER: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "source_letter": {"decoder_type": "transformer", "encoder_layer": 6, "loss_weight": 8.0},
        "target_letter": {"decoder_type": "transformer", "encoder_layer": 8, "loss_weight": 8.0},
        "decoder_target_ctc": {"decoder_type": "ctc", "decoder_layer": 3, "loss_weight": 1.6},
    }
)


@dataclass(frozen=True)
class AuxiliaryTask:
    settings: Mapping[str, Any]  # under fairseq's names, as in FISHER
    targets: Mapping[str, Mapping[str, Sequence[str]]]  # by split, then by pair_id: tokens
    symbols: tuple[str, ...] = ()  # the dictionary, in its order; none means all tokens, frequent ones first


def letters(text: str) -> list[str]:
    """Spell a text as fairseq's letter tasks do, each word with "|" behind: "so it" -> s o | i t |."""
    if WORD_END in text:
        raise UserError(f"the text {text!r} holds '{WORD_END}', which marks the end of words; take it out")
    return [letter for word in text.split() for letter in (*word, WORD_END)]


def words(spelled: Sequence[str]) -> str:
    """Undo `letters`."""
    return " ".join("".join(spelled).split(WORD_END)).strip()


def write_multitask(folder: Path, tasks: Mapping[str, AuxiliaryTask], frames_per_step: int = 1) -> dict[str, list[str]]:
    """Write the tasks of a folder that holds the tables of pairs already, by `write_s2ut` or `write_s2spect`.

    `frames_per_step` is that of the translator. Gives for each task the pairs that it cannot learn from: CTC of the
    decoder with more symbols than the decoder has steps, whose infinite loss fairseq counts as 0 in silence.

    Raises UserError for a pair without target, of which fairseq only warns and goes on with nothing to learn, for
    an empty dictionary and for tokens outside it.
    """
    if (folder / MULTITASK).exists():
        raise UserError(f"{folder / MULTITASK} is there already; write all tasks at once, into a new folder")
    splits = {split: _pairs(folder, split) for split in speech_folder.splits(folder)}
    content, unlearnable = {}, {}
    for name, task in tasks.items():
        symbols = _check_task(name, task, folder, splits)
        place = folder.absolute() / name
        Dictionary.of(symbols).save(place / DICTIONARY)
        for split, targets in task.targets.items():
            rows = [(pair_id, " ".join(tokens)) for pair_id, tokens in targets.items()]
            write_tsv(place / f"{split}.tsv", TASK_COLUMNS, rows)
        content[name] = {**task.settings, "dict": f"{place}/{DICTIONARY}", "data": str(place)}
        unlearnable[name] = [
            pair_id
            for split, pairs in splits.items()
            for pair_id, line in pairs.items()
            if _needs_decoder_steps(task.settings)
            and ctc_steps(task.targets[split][pair_id]) > _steps_of_line(line, frames_per_step)
        ]
    write_yaml(folder / MULTITASK, content)
    return unlearnable


def ctc_steps(tokens: Sequence[str]) -> int:
    """Count the steps that CTC needs for some tokens: a blank must part two that are equal."""
    return len(tokens) + sum(left == right for left, right in pairwise(tokens))


def decoder_steps(num_frames: int, frames_per_step: int, tells_units: bool) -> int:
    """Count the steps of the translator's decoder for a target of units or of spectrogram frames.

    One that tells units tells their end too; frames that do not fill a step fall away.
    """
    return num_frames // frames_per_step + tells_units


def read_multitask(folder: Path, splits: Sequence[str]) -> dict[str, AuxiliaryTask]:
    """Read the tasks of a folder, ours or made for fairseq, for some splits; raises UserError as `write_multitask`.

    Where a dict or data is a relative path it is, as for fairseq, relative to the current folder.
    """
    path = folder / MULTITASK
    tasks = {}
    for name, content in read_task_settings(path).items():
        settings = {key: value for key, value in content.items() if key not in ("dict", "data")}
        _check_settings(name, settings, str(path))
        symbols = Dictionary.load(content["dict"]).symbols
        _check_symbols(symbols, content["dict"])
        targets = {split: _read_targets(folder, Path(content["data"]), split, frozenset(symbols)) for split in splits}
        tasks[name] = AuxiliaryTask(settings, targets, symbols)
    return tasks


def read_task_settings(path: Path) -> dict[str, dict[str, Any]]:
    """Read what `config_multitask.yaml` says of each task; raises UserError for one without dict or data."""
    tasks = read_yaml(path)
    for name, content in tasks.items():
        if not isinstance(content, dict) or not {"dict", "data"} <= set(content):
            raise UserError(f"{path}: task '{name}' has no dict or data; give the paths of both")
    return tasks


def _read_targets(folder: Path, data: Path, split: str, symbols: frozenset[str]) -> dict[str, list[str]]:
    table = {line.values["id"]: line for line in read_tsv(data / f"{split}.tsv", TASK_COLUMNS)}
    pairs = _pairs(folder, split)
    for pair_id, line in table.items():
        if pair_id not in pairs:
            raise UserError(f"{line.where}: {folder}/{split}.tsv has no pair '{pair_id}'; leave the line out")
        _check_tokens(line.values["tgt_text"].split(), symbols, line.where)
    for pair_id, line in pairs.items():
        if pair_id not in table:
            raise UserError(f"{data}/{split}.tsv has no target for pair '{pair_id}' of {line.where}; add it")
    return {pair_id: line.values["tgt_text"].split() for pair_id, line in table.items()}


def _pairs(folder: Path, split: str) -> dict[str, Line]:
    return {line.values["id"]: line for line in read_table(folder, split)}


def _check_task(
    name: str, task: AuxiliaryTask, folder: Path, splits: Mapping[str, Mapping[str, Line]]
) -> tuple[str, ...]:
    """Give the dictionary of a task; raises UserError."""
    if not name.isidentifier() or name == AUDIO:
        raise UserError(f"task '{name}' cannot be the name of a folder and a module; take letters, digits and _")
    _check_settings(name, task.settings, "the tasks to write")
    symbols = task.symbols or _by_frequency(task)
    _check_symbols(symbols, f"task '{name}'")
    if set(task.targets) != set(splits):
        raise UserError(
            f"task '{name}' has the splits {sorted(task.targets)}, but {folder} has {sorted(splits)}; give all"
        )
    known = frozenset(symbols)
    for split, pairs in splits.items():
        targets = task.targets[split]
        for pair_id in pairs:
            _check_tokens(targets.get(pair_id, ()), known, f"task '{name}', split '{split}', pair '{pair_id}'")
        extra = [pair_id for pair_id in targets if pair_id not in pairs]
        if extra:
            raise UserError(f"task '{name}': {folder}/{split}.tsv has no pair '{extra[0]}'; leave its target out")
    return symbols


def _needs_decoder_steps(settings: Mapping[str, Any]) -> bool:
    return settings.get("decoder_type") == "ctc" and "decoder_layer" in settings


def _steps_of_line(line: Line, frames_per_step: int) -> int:
    tells_units = line.values["tgt_audio"].replace(" ", "").isdecimal()
    return decoder_steps(count(line, "tgt_n_frames"), frames_per_step, tells_units)


def _by_frequency(task: AuxiliaryTask) -> tuple[str, ...]:
    counts = Counter(token for targets in task.targets.values() for tokens in targets.values() for token in tokens)
    return tuple(sorted(counts, key=lambda token: (-counts[token], token)))


def _check_settings(name: str, settings: Mapping[str, Any], where: str) -> None:
    unknown = sorted(set(settings) - set(SETTINGS))
    if unknown:
        raise UserError(f"{where}: task '{name}' has the unknown setting '{unknown[0]}'; known: {', '.join(SETTINGS)}")
    if settings.get("decoder_type", "transformer") not in ("transformer", "ctc"):
        raise UserError(
            f"{where}: task '{name}' has decoder_type {settings['decoder_type']!r}; give transformer or ctc"
        )
    if {"encoder_layer", "decoder_layer"} <= set(settings):
        raise UserError(f"{where}: task '{name}' has both encoder_layer and decoder_layer; leave one out")


def _check_symbols(symbols: Sequence[str], where: str) -> None:
    if not symbols:
        raise UserError(f"{where}: the dictionary is empty; give a target with tokens to every pair")
    repeated = [symbol for symbol, times in Counter((*SPECIALS, *symbols)).items() if times > 1]
    if repeated:
        raise UserError(f"{where}: the dictionary has '{repeated[0]}' twice, or as a special symbol; leave one out")
    spaced = [symbol for symbol in symbols if symbol.split() != [symbol]]
    if spaced:
        raise UserError(
            f"{where}: the symbol {spaced[0]!r} is empty or holds a blank, where tokens are parted; replace it"
        )


def _check_tokens(tokens: Sequence[str], symbols: frozenset[str], where: str) -> None:
    if not tokens:
        raise UserError(f"{where}: there is no target; add it, or leave the pair out")
    unknown = sorted(set(tokens) - symbols)
    if unknown:
        raise UserError(f"{where}: '{unknown[0]}' is not in the dictionary, so fairseq would learn <unk>; add it")
