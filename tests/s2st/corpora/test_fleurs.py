import io
import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from pyarrow import fs

from s2st import storage
from s2st.config import UserError
from s2st.corpora.fleurs import CODE_OF, CONFIG_OF, Fleurs, FleursConfig

SCHEMA = pa.schema(
    [
        ("id", pa.int32()),
        ("num_samples", pa.int32()),
        ("path", pa.string()),
        ("audio", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("transcription", pa.string()),
        ("raw_transcription", pa.string()),
        ("gender", pa.int64()),
        ("lang_id", pa.int64()),
        ("language", pa.string()),
        ("lang_group_id", pa.int64()),
    ]
)


def wav(seconds: float = 0.1) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, int(seconds * 16_000))
    soundfile.write(buffer, noise, 16_000, format="WAV")
    return buffer.getvalue()


def row(number: int, **changes: Any) -> dict[str, Any]:
    name = f"{1000 + number}.wav"
    plain = {
        "id": number // 2,
        "num_samples": 1600,
        "path": f"/somewhere/{name}",
        "audio": {"bytes": wav(), "path": name},
        "transcription": f"sentence {number // 2}",
        "raw_transcription": f"Sentence {number // 2}.",
        "gender": number % 2,
        "lang_id": 0,
        "language": "English",
        "lang_group_id": 0,
    }
    return plain | changes


def write(path: Path, rows: list[dict[str, Any]], group: int = 4, drop: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    pq.write_table(table.drop_columns([drop]) if drop else table, path, row_group_size=group)


def corpus(root: Path, *languages: str, rows_per_shard: int = 256) -> Fleurs:
    return Fleurs(FleursConfig(languages or ("en",), str(root), rows_per_shard))


def test_every_recording_of_every_file_comes_once(tmp_path: Path) -> None:
    write(tmp_path / "en_us/train/0000.parquet", [row(n) for n in range(10)])
    write(tmp_path / "en_us/train/0001.parquet", [row(n) for n in range(10, 13)])
    write(tmp_path / "en_us/test/0000.parquet", [row(n) for n in range(20, 22)])
    write(tmp_path / "hi_in/partial-train/0000.parquet", [row(n) for n in range(5)])
    fleurs = corpus(tmp_path, "en", "hi_in", rows_per_shard=6)
    shards = pickle.loads(pickle.dumps(fleurs.shards()))
    recordings = [list(fleurs.read(shard)) for shard in shards]
    assert [len(part) for part in recordings] == [shard.rows for shard in shards]
    assert [shard.rows for shard in shards if shard.config == "en_us" and shard.split == "train"] == [4, 6, 3]
    together = [recording for part in recordings for recording in part]
    assert len({recording.utterance_id for recording in together}) == len(together) == 20
    assert {(r.lang, r.split) for r in together} == {("en", "train"), ("en", "test"), ("hi", "train")}
    assert all(r.reject is None and r.audio == wav() for r in together)


def test_a_recording_carries_fleurs_columns(tmp_path: Path) -> None:
    write(tmp_path / "ko_kr/validation/0000.parquet", [row(7)])
    fleurs = corpus(tmp_path, "ko")
    (recording,) = fleurs.read(fleurs.shards()[0])
    assert recording.utterance_id == "fleurs-ko_kr-validation-3-1007"
    assert recording.sentence_id == "fleurs-3"
    assert recording.speaker == "fleurs-ko-female-validation"
    assert recording.text == "sentence 3"


def test_broken_rows_come_out_as_rejects(tmp_path: Path) -> None:
    rows = [
        row(0),
        row(1, audio=None),
        row(2, audio={"bytes": None, "path": "x.wav"}),
        row(3, audio={"bytes": b"", "path": "x.wav"}),
        row(4, id=None),
        row(5, path=None, audio={"bytes": wav(), "path": None}),
        row(6, transcription=None, gender=None),
        row(7, gender=9, audio={"bytes": b"not audio at all", "path": "y.wav"}),
    ]
    write(tmp_path / "en_us/train/0000.parquet", rows, group=3)
    fleurs = corpus(tmp_path)
    (shard,) = fleurs.shards()
    recordings = list(fleurs.read(shard))
    assert len(recordings) == shard.rows == 8
    assert len({recording.utterance_id for recording in recordings}) == 8
    reasons = [recording.reject for recording in recordings]
    no_audio, no_id = "the row has no audio", "the row has no id"
    assert reasons == [None, no_audio, no_audio, no_audio, no_id, None, None, None]
    assert recordings[6].text == ""
    assert [recording.speaker for recording in recordings[6:]] == ["fleurs-en-unknown-train"] * 2


def test_a_row_group_with_damaged_bytes_becomes_rejects_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "en_us/train/0000.parquet"
    write(path, [row(n) for n in range(12)])
    group = pq.read_metadata(path).row_group(1)
    columns = [group.column(i) for i in range(group.num_columns)]
    column = next(column for column in columns if column.path_in_schema == "audio.bytes")
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(data)
    fleurs = corpus(tmp_path)
    (shard,) = fleurs.shards()
    recordings = list(fleurs.read(shard))
    assert len(recordings) == shard.rows == 12
    assert [recording.reject is None for recording in recordings] == [True] * 4 + [False] * 4 + [True] * 4
    assert "row group 1 cannot be read" in str(recordings[5].reject)
    assert len({recording.utterance_id for recording in recordings}) == 12


def test_empty_files_give_no_shards(tmp_path: Path) -> None:
    write(tmp_path / "en_us/train/0000.parquet", [])
    write(tmp_path / "en_us/test/0000.parquet", [row(0)])
    assert [shard.split for shard in corpus(tmp_path).shards()] == ["test"]


def test_language_names() -> None:
    assert len(CONFIG_OF) == len(CODE_OF) == 102
    assert CONFIG_OF["es"] == "es_419"
    assert CONFIG_OF["zh"] == "cmn_hans_cn"
    assert CODE_OF["yue_hant_hk"] == "yue"


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        (("tlh",), "FLEURS has no language 'tlh'; it has af, am"),
        (("en", "en_us"), "named twice"),
        (("ko",), r"has no ko_kr/<split>/\*.parquet.*languages there: en_us, hi_in"),
    ],
)
def test_languages_that_are_not_there(tmp_path: Path, languages: tuple[str, ...], message: str) -> None:
    for config in ("en_us", "hi_in"):
        write(tmp_path / config / "train/0000.parquet", [row(0)])
    with pytest.raises(UserError, match=message):
        corpus(tmp_path, *languages).shards()


@pytest.mark.parametrize("folder", ["dev", "Dev", "partial-validation", "VALIDATION"])
def test_a_folder_dev_is_the_validation_split_in_any_case(tmp_path: Path, folder: str) -> None:
    write(tmp_path / "en_us" / folder / "0000.parquet", [row(0)])
    assert [shard.split for shard in corpus(tmp_path).shards()] == ["validation"]


def test_two_folders_of_one_split_are_refused(tmp_path: Path) -> None:
    for lang, folder in (("hi_in", "eval"), ("en_us", "eval"), ("en_us", "dev")):
        write(tmp_path / lang / folder / "0000.parquet", [row(0)])
    assert [shard.split for shard in corpus(tmp_path, "hi").shards()] == ["validation"]
    with pytest.raises(UserError, match="en_us/dev/.* and en_us/eval/.* would both be the split validation; rename"):
        corpus(tmp_path).shards()


@pytest.mark.parametrize("path", ["en_us/heldout/0000.parquet", "en_us/0000.parquet", "en_us/train/more/0000.parquet"])
def test_files_outside_the_splits_are_not_left_out_in_silence(tmp_path: Path, path: str) -> None:
    write(tmp_path / "en_us/train/0000.parquet", [row(0)])
    write(tmp_path / path, [row(1)])
    with pytest.raises(UserError, match=f"{path} is in no en_us/<split> with a split of train, training, validation"):
        corpus(tmp_path).shards()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere has no en_us"):
        corpus(tmp_path / "nowhere").shards()


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    write(tmp_path / "en_us/train/0000.parquet", [row(0)])
    whole = (tmp_path / "en_us/train/0000.parquet").read_bytes()
    (tmp_path / "en_us/train/0000.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"en_us/train/0000.parquet is not a whole Parquet file"):
        corpus(tmp_path).shards()


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write(tmp_path / "en_us/train/0000.parquet", [row(0)], drop="transcription")
    with pytest.raises(UserError, match="has no column 'transcription'"):
        corpus(tmp_path).shards()


def test_a_bucket_is_read_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub comes through fsspec, as this file system in memory does; its errors are not data faults."""
    write(tmp_path / "en_us/train/0000.parquet", [row(n) for n in range(6)])
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.put(str(tmp_path), "/fleurs@refs/convert", recursive=True)
    system = fs.PyFileSystem(fs.FSSpecHandler(memory))
    monkeypatch.setattr(storage, "resolve", lambda address: (system, "fleurs@refs/convert"))
    fleurs = corpus(tmp_path, "en", rows_per_shard=1)
    shards = fleurs.shards()
    assert [len(list(fleurs.read(shard))) for shard in shards] == [4, 2]
    with pytest.raises(UserError, match="languages there: en_us"):
        corpus(tmp_path, "ko").shards()
    memory.rm("/fleurs@refs/convert/en_us/train/0000.parquet")
    with pytest.raises(FileNotFoundError):
        list(fleurs.read(shards[0]))


def test_an_unknown_file_system_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="nosuch://bucket"):
        Fleurs(FleursConfig(("en",), "nosuch://bucket")).shards()
