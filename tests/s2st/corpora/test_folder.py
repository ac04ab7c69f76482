import pickle
from pathlib import Path
from typing import Any

import pytest

from s2st.config import UserError, build
from s2st.corpora.corpus import Recording
from s2st.corpora.folder import Folder, FolderConfig


def put(root: Path, *paths: str, data: bytes = b"sound") -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def read(root: Path, **settings: Any) -> list[Recording]:
    corpus = Folder(FolderConfig(str(root), **settings))
    recordings = []
    for shard in pickle.loads(pickle.dumps(corpus.shards())):
        part = list(corpus.read(shard))
        assert len(part) == shard.rows
        recordings += part
    assert len({recording.utterance_id for recording in recordings}) == len(recordings)
    return recordings


def test_language_and_split_folders(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav", "hi/train/a.flac", "en/test/b.OGG", "hi/test/b.wav", "en/train/day1/a.wav")
    found = {(r.lang, r.split, r.sentence_id) for r in read(tmp_path)}
    assert found == {
        ("en", "train", "folder-a"),
        ("hi", "train", "folder-a"),
        ("en", "test", "folder-b"),
        ("hi", "test", "folder-b"),
        ("en", "train", "folder-day1-a"),
    }


def test_names_with_language_share_the_sentence_and_the_split(tmp_path: Path) -> None:
    put(tmp_path, *(f"my_talk_{lang}_{n}.wav" for lang in ("en", "ko", "hi") for n in range(300)))
    recordings = read(tmp_path, validation_share=0.1, test_share=0.2)
    splits: dict[str, set[str]] = {}
    for recording in recordings:
        splits.setdefault(recording.sentence_id, set()).add(recording.split)
    assert len(splits) == 300
    assert all(len(found) == 1 for found in splits.values())
    shares = {split: sum(found == {split} for found in splits.values()) / 300 for split in ("validation", "test")}
    assert abs(shares["validation"] - 0.1) < 0.05
    assert abs(shares["test"] - 0.2) < 0.07
    assert "folder-my_talk-7" in splits


def test_a_split_folder_above_named_files_is_honoured(tmp_path: Path) -> None:
    put(
        tmp_path,
        "test/talk_en_1.wav",
        "test/talk_hi_1.wav",
        "en/validation/talk_en_2.wav",
        "hi/validation/talk_hi_2.wav",
    )
    found = {(r.split, r.sentence_id) for r in read(tmp_path)}
    assert found == {("test", "folder-talk-1"), ("validation", "folder-talk-2")}


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", ["train", "training", "Train"]),
        ("validation", ["validation", "valid", "val", "dev", "devel", "development", "eval", "DEV"]),
        ("test", ["test", "testing", "TEST"]),
    ],
)
def test_folders_of_a_split_by_all_its_names(tmp_path: Path, split: str, names: list[str]) -> None:
    for name in names:
        put(tmp_path / name, *(f"en/{name}/{n}.wav" for n in range(10)), f"{name}/talk_hi_1.wav", f"hi/s1/{name}/a.wav")
        recordings = read(tmp_path / name)
        assert {(r.lang, r.split) for r in recordings} == {("en", split), ("hi", split)}
        assert {r.sentence_id for r in recordings} >= {"folder-0", "folder-talk-1", "folder-s1-a"}


@pytest.mark.parametrize(
    "path", ["en/heldout/a.wav", "en/dev-clean/a.wav", "heldout/talk_en_1.wav", "en/s1/dev1/a.wav"]
)
def test_folders_that_name_no_split_never_end_up_in_training_unasked(tmp_path: Path, path: str) -> None:
    put(tmp_path, "en/train/b.wav", path)
    with pytest.raises(UserError, match=rf"{path}: no folder of .* names a split \(train, training, validation, .*dev"):
        read(tmp_path)


def test_folders_without_split_are_split_by_the_hash_where_asked_for(tmp_path: Path) -> None:
    put(tmp_path, *(f"{lang}/speaker{n}/a.wav" for lang in ("en", "hi") for n in range(100)), "en/dev/b.wav")
    splits: dict[str, set[str]] = {}
    for recording in read(tmp_path, folders_without_split=True, test_share=0.3):
        splits.setdefault(recording.sentence_id, set()).add(recording.split)
    assert splits.pop("folder-b") == {"validation"}
    assert len(splits) == 100
    assert {*map(len, splits.values())} == {1}
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}


def test_splits_of_the_hash_stay_when_files_are_added(tmp_path: Path) -> None:
    put(tmp_path, *(f"t_en_{n}.wav" for n in range(50)))
    before = {r.sentence_id: r.split for r in read(tmp_path, test_share=0.3)}
    put(tmp_path, *(f"t_en_{n}.wav" for n in range(50, 90)))
    after = {r.sentence_id: r.split for r in read(tmp_path, test_share=0.3)}
    assert {key: after[key] for key in before} == before
    assert {r.sentence_id: r.split for r in read(tmp_path, test_share=0.3, seed=1)} != after


def test_many_files_make_several_shards(tmp_path: Path) -> None:
    put(tmp_path, *(f"en/train/{n}.wav" for n in range(230)))
    assert [shard.rows for shard in Folder(FolderConfig(str(tmp_path))).shards()] == [100, 100, 30]


def test_transcripts_by_path_and_by_id(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav", "hi/train/a.wav", "en/train/b.wav", "x_en_1.wav", "en/train/c.wav")
    (tmp_path / "transcripts.tsv").write_text(
        "﻿en/train/a.wav\tby path\nx_en_1\tby name\n\na\twrong: fits all languages\n", encoding="utf-8"
    )
    (tmp_path / "hi/transcripts.tsv").write_text("a\tआम\n", encoding="utf-8")
    (tmp_path / "en/train/transcripts.tsv").write_text("b.wav\tnear\textra\n", encoding="utf-8")
    texts = {(r.lang, r.sentence_id): r.text for r in read(tmp_path, test_share=0.0, validation_share=0.0)}
    assert texts == {
        ("en", "folder-a"): "by path",
        ("hi", "folder-a"): "आम",
        ("en", "folder-b"): "near\textra",
        ("en", "folder-x-1"): "by name",
        ("en", "folder-c"): "",
    }


def test_empty_and_vanished_files_become_rejects(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav", "en/train/gone.wav")
    put(tmp_path, "en/train/empty.wav", data=b"")
    corpus = Folder(FolderConfig(str(tmp_path)))
    (shard,) = corpus.shards()
    (tmp_path / "en/train/gone.wav").unlink()
    recordings = {recording.sentence_id: recording for recording in corpus.read(shard)}
    assert len(recordings) == shard.rows == 3
    assert recordings["folder-a"].reject is None
    assert recordings["folder-a"].audio == b"sound"
    assert recordings["folder-empty"].reject == "the file is empty"
    assert "cannot be read" in str(recordings["folder-gone"].reject)


def test_languages_can_be_chosen(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav", "hi/train/a.wav", "fr/train/a.wav")
    assert {r.lang for r in read(tmp_path, languages=("hi", "fr"))} == {"hi", "fr"}
    with pytest.raises(UserError, match="no language 'ko'; it has en, fr, hi"):
        read(tmp_path, languages=("hi", "ko"))


def test_languages_that_nobody_asked_for_may_be_in_any_folders(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav", "de/speaker1/a.wav", "fr/dev/b.wav", "fr/eval/c.wav", "hi/train/dev/d.wav")
    assert {(r.lang, r.split) for r in read(tmp_path, languages=("en",))} == {("en", "train")}
    for lang, message in (("de", "speaker1 names a split"), ("fr", "would both be"), ("hi", "folders of two splits")):
        with pytest.raises(UserError, match=message):
            read(tmp_path, languages=("en", lang))


def test_hidden_files_and_other_files_are_left_alone(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav", "en/train/._a.wav", "en/train/notes.txt")
    assert len(read(tmp_path)) == 1


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([], "no .wav, .flac, .ogg, .opus files named <lang>/<split>/<id>.wav or <split>/<name>_<lang>_<n>.wav"),
        (["recording.wav"], "recording.wav does not tell its language"),
        (
            ["en/train/a.wav", "hi/test/a.wav"],
            "sentence 'a' is in two splits .en/train/a.wav and hi/test/a.wav.",
        ),
        (["en/train/dev/a.wav"], r"is in folders of two splits .train, dev.; move it into one"),
        (["en/dev/a.wav", "en/eval/b.wav"], "en/dev/a.wav and en/eval/b.wav would both be the split validation"),
        (["dev/en/a.wav"], "dev/en/a.wav does not tell its language"),
        (["en/train/a.wav", "en/train/a.flac"], "are the same sentence in one language"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, paths: list[str], message: str) -> None:
    put(tmp_path, *paths)
    with pytest.raises(UserError, match=message):
        read(tmp_path)


def test_a_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        read(tmp_path / "nowhere")


def test_bad_transcripts_are_named(tmp_path: Path) -> None:
    put(tmp_path, "en/train/a.wav")
    (tmp_path / "en/transcripts.tsv").write_text("a\ttext\nb only spaces\n")
    with pytest.raises(UserError, match=r"en/transcripts.tsv, line 2 has no tab"):
        read(tmp_path)
    (tmp_path / "en/transcripts.tsv").write_bytes("a\tनमस्ते".encode("utf-16"))
    with pytest.raises(UserError, match="is not UTF-8"):
        read(tmp_path)


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="must leave a rest"):
        build(FolderConfig, {"root": "x", "validation_share": 0.5, "test_share": 0.5}, "ingest.folder")
