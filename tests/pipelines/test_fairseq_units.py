from pathlib import Path

import numpy as np
import pytest

from pipelines import fairseq_import, ingest
from s2st import audio
from s2st.config import UserError
from s2st.corpora.tsv import Tsv, TsvConfig, TsvFile
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.manifest import read_manifest
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
from s2st.schemas import MANIFEST, PAIRS, UNITS
from s2st.speech_to_units import SpeechToUnits
from stages import datasets

NUM_UNITS = 20
SPLITS = [("train", "train"), ("validation", "valid"), ("test", "test")]  # our name, fairseq's
ALL_UNIT_FORMATS = ("km", "quantized", "unit_files")
DICTIONARY_OF_21 = "".join(f"{unit} 1\n" for unit in range(21))


def sources(folder, format):
    """What reads back units that were exported into `folder`."""
    if format == "unit_files":
        return [{"format": format, "path": f"{folder}/unit_files/{theirs}", "split": ours} for ours, theirs in SPLITS]
    found = []
    for lang in ("en", "hi"):
        for split, theirs in SPLITS:
            base = f"{folder}/{format}/{lang}/{theirs}"
            source = {"format": format, "path": f"{base}.{'km' if format == 'km' else 'txt'}", "lang": lang}
            found.append({**source, "split": split, **({"tsv": f"{base}.tsv"} if format == "km" else {})})
    return found


@pytest.mark.parametrize("format", ALL_UNIT_FORMATS)
def test_exported_units_are_imported_as_they_were(a_run, format, exchange, rows_of):
    counts = exchange(a_run, {"write": [format]}, "theirs", units="units", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    settings = {"read_units": sources(a_run / "theirs", format)}
    counts = exchange(a_run, settings, "ours", manifest="manifest", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    assert rows_of(a_run / "ours", UNITS) == rows_of(a_run / "units", UNITS)


@pytest.mark.parametrize("format", ALL_UNIT_FORMATS)
def test_exported_units_make_the_same_pairs_without_a_manifest(a_run, format, exchange, pair, rows_of):
    exchange(a_run, {"write": [format]}, "theirs", units="units", codebook="codebook")
    before = rows_of(a_run / "pairs", PAIRS, "pair_id")
    assert {(row["source_lang"], row["target_lang"]) for row in before} == {("en", "hi"), ("hi", "en")}
    given = [{**source, "split": ""} for source in sources(a_run / "theirs", format)]
    counts = exchange(a_run, {"read_units": given}, "ours", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    assert rows_of(a_run / "ours", UNITS) == rows_of(a_run / "units", UNITS)
    assert pair(a_run, "ours") == 8
    assert rows_of(a_run / "pairs", PAIRS, "pair_id") == before


def test_exported_recordings_are_ingested_as_they_were(a_run, exchange, rows_of, with_texts):
    with_texts(lambda lang, sentence: f"{sentence}\tin {lang}\nआम" if sentence != "c" else "")
    exchange(a_run, {"write": ["manifest"]}, "theirs", manifest="texts")
    folder = a_run / "theirs/manifest"
    files = tuple(
        TsvFile(f"{folder}/{lang}/{theirs}.tsv", lang, ours) for lang in ("en", "hi") for ours, theirs in SPLITS
    )
    corpus = Tsv(TsvConfig(files))
    found = [ingest.manifest_row(row) for shard in corpus.shards() for row in corpus.read(shard)]
    told = ("utterance_id", "sentence_id", "lang", "split", "speaker", "text", "num_samples")
    before = [{name: row[name] for name in told} for row in rows_of(a_run / "texts", MANIFEST)]
    assert sorted(({name: row[name] for name in told} for row in found), key=lambda row: row["utterance_id"]) == before


def test_a_table_of_sentences_makes_pairs_of_units_from_elsewhere(tmp_path, exchange, pair, rows_of):
    for lang, name in (("en", "clip7"), ("hi", "clip9")):
        (tmp_path / f"{lang}.tsv").write_text(f"/wavs\n{name}.wav\t16000\n")
        (tmp_path / f"{lang}.km").write_text("1 2\n")
        (tmp_path / f"{lang}.ids.tsv").write_text(f"name\tsentence_id\n{name}\tgood day\n")
    files = [
        {
            "format": "km",
            "path": f"{tmp_path}/{lang}.km",
            "tsv": f"{tmp_path}/{lang}.tsv",
            "lang": lang,
            "split": "test",
        }
        for lang in ("en", "hi")
    ]
    exchange(tmp_path, {"read_units": files, "num_units": 5, "units_name": "mine"}, "ours")
    rows = rows_of(tmp_path / "ours", UNITS)
    assert [(row["utterance_id"], row["sentence_id"], row["num_samples"]) for row in rows] == [
        ("en-test-clip7", "good day", 16000),
        ("hi-test-clip9", "good day", 16000),
    ]
    assert pair(tmp_path, "ours") == 2


@pytest.mark.parametrize(("setting", "value"), [("lang", "hi"), ("split", "test")])
def test_settings_that_the_table_contradicts_are_refused(a_run, exchange, setting, value):
    exchange(a_run, {"write": ["km"]}, "theirs", units="units", codebook="codebook")
    first = {**sources(a_run / "theirs", "km")[0], setting: value}
    with pytest.raises(
        UserError, match=f"'u-en-a' has {setting} (en|train) in the table beside it, not {value}; mend settings"
    ):
        exchange(a_run, {"read_units": [first]}, "ours", codebook="codebook")


@pytest.mark.parametrize("told", ["u-en-a\ttrain\t5", "another\ttest\t5", "\t\t"])
def test_with_a_manifest_a_table_gives_ids_and_nothing_else(a_run, exchange, rows_of, told):
    (a_run / "en.txt").write_text("u-en-a|1 2\nu-en-nava|1\n")
    header = "name\tsentence_id\tutterance_id\tsplit\tnum_samples"
    (a_run / "en.ids.tsv").write_text(f"{header}\nu-en-a\tstale\t{told}\n")
    source = {"format": "quantized", "path": f"{a_run}/en.txt", "lang": "en", "split": "train"}
    counts = exchange(a_run, {"read_units": [source]}, manifest="manifest", codebook="codebook")
    assert (counts.rows_in, counts.rows_out) == (2, 2)
    known = {row["utterance_id"]: row for row in rows_of(a_run / "manifest", MANIFEST)}
    for row in rows_of(a_run / "out", UNITS):
        assert row["sentence_id"] == known[row["utterance_id"]]["sentence_id"]
        assert row["num_samples"] == known[row["utterance_id"]]["num_samples"]


def test_with_a_manifest_names_that_only_a_table_knows_are_found(a_run, exchange, rows_of):
    (a_run / "en.txt").write_text("clip7|1 2\n")
    (a_run / "en.ids.tsv").write_text("name\tsentence_id\tutterance_id\nclip7\tx\tu-en-a\n")
    source = {"format": "quantized", "path": f"{a_run}/en.txt", "lang": "en", "split": "train"}
    exchange(a_run, {"read_units": [source]}, manifest="manifest", codebook="codebook")
    assert [(row["utterance_id"], row["sentence_id"]) for row in rows_of(a_run / "out", UNITS)] == [("u-en-a", "a")]


def test_lengths_that_the_table_contradicts_are_refused(a_run, exchange):
    exchange(a_run, {"write": ["km"]}, "theirs", units="units", codebook="codebook")
    path = a_run / "theirs/km/en/train.tsv"
    path.write_text(path.read_text().replace("u-en-a.flac\t8000", "u-en-a.flac\t4000"))
    with pytest.raises(UserError, match="'u-en-a' has num_samples 8000 in the table beside it, not 4000; mend .tsv or"):
        exchange(a_run, {"read_units": sources(a_run / "theirs", "km")}, "ours", codebook="codebook")


def test_without_a_manifest_names_are_sentences(a_run, exchange, pair, rows_of):
    exchange(a_run, {"write": ["quantized"]}, "theirs", units="units", codebook="codebook")
    lines = (a_run / "theirs/quantized/en/train.txt").read_text().replace("u-en-", "")
    for lang in ("en", "hi"):
        (a_run / f"{lang}.txt").write_text(lines)
    source = {"format": "quantized", "split": "train"}
    files = [{**source, "path": f"{a_run}/{lang}.txt", "lang": lang} for lang in ("en", "hi")]
    exchange(a_run, {"read_units": files, "num_units": NUM_UNITS, "units_name": "mine"}, "ours")
    rows = rows_of(a_run / "ours", UNITS)
    assert [row["utterance_id"] for row in rows] == ["en-train-a", "en-train-nava", "hi-train-a", "hi-train-nava"]
    assert [row["sentence_id"] for row in rows] == ["a", "nava"] * 2
    assert {(row["codebook"], row["num_samples"]) for row in rows} == {("mine-0-20", 0)}
    assert pair(a_run, "ours") == 4
    with pytest.raises(UserError, match="does not know how many samples an utterance has"):
        exchange(a_run, {"write": ["km"]}, "again", units="ours")


def test_labels_are_aligned_to_the_manifest_beside_them(a_run, exchange):
    datasets.write_table(datasets.read_table(f"{a_run}/units", UNITS).slice(1), f"{a_run}/fewer")  # one was a reject
    exchange(a_run, {"write": ["manifest", "km"]}, "theirs", manifest="manifest", units="fewer", codebook="codebook")
    folder, entries = read_manifest(a_run / "theirs/km/en/train.tsv")
    assert [entry.name for entry in entries] == ["u-en-nava"]
    assert len((a_run / "theirs/km/en/train.km").read_text().splitlines()) == 1
    assert len(read_manifest(a_run / "theirs/manifest/en/train.tsv")[1]) == 2
    assert len(Dictionary.load(a_run / "theirs/km/en/dict.km.txt")) == NUM_UNITS + 4
    data = (a_run / "theirs/manifest/en/audio" / entries[0].path).read_bytes()
    assert folder == f"{a_run}/theirs/manifest/en/audio"
    assert len(audio.decode(data)) == entries[0].num_samples


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "dict.km.txt is empty"), (DICTIONARY_OF_21, "dict.km.txt names 21 units, but there are only 20")],
)
def test_labels_beside_the_dictionary_of_another_codebook_are_refused(a_run, text, message, exchange):
    exchange(a_run, {"write": ["km"]}, "theirs", units="units")
    (a_run / "theirs/km/en/dict.km.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        exchange(a_run, {"read_units": sources(a_run / "theirs", "km")}, "ours", codebook="codebook")


def test_features_are_averaged_as_the_codebook_wants_them(codebook, tone):
    averaging = SpeechToUnits(FeatureExtractor(FeaturesConfig("stacked_mfcc", smoothing=3)), codebook.codebook)
    features = codebook.extractor([tone])[0]
    assert averaging.quantize(features).tolist() == averaging([tone])[0].tolist()
    assert averaging.quantize(features).tolist() != codebook.quantize(features).tolist()


def test_features_and_a_codebook_make_the_units_of_the_recordings(a_run, codebook, exchange, rows_of):
    exchange(a_run, {"write": ["manifest"]}, "theirs", manifest="manifest")
    given = []
    for lang in ("en", "hi"):
        for split, theirs in SPLITS:
            folder, entries = read_manifest(a_run / f"theirs/manifest/{lang}/{theirs}.tsv")
            waveforms = [audio.decode(Path(folder, entry.path).read_bytes()) for entry in entries]
            features = codebook.extractor(waveforms)
            (a_run / lang).mkdir(exist_ok=True)
            np.save(a_run / lang / f"{theirs}_0_1.npy", np.concatenate(features))
            (a_run / lang / f"{theirs}_0_1.len").write_text("".join(f"{len(value)}\n" for value in features))
            tsv = f"{a_run}/theirs/manifest/{lang}/{theirs}.tsv"
            source = {"format": "features", "path": f"{a_run}/{lang}", "tsv": tsv}
            given.append({**source, "lang": lang, "split": split})
    exchange(a_run, {"read_units": given}, "ours", manifest="manifest", codebook="codebook")
    assert rows_of(a_run / "ours", UNITS) == rows_of(a_run / "units", UNITS)
    with pytest.raises(UserError, match="become units by a codebook"):
        exchange(a_run, {"read_units": given, "num_units": 20, "units_name": "x"}, "other")
    np.save(a_run / "en" / "train_0_1.npy", np.zeros((len(np.load(a_run / "en" / "train_0_1.npy")), 3), np.float32))
    with pytest.raises(UserError, match="features of 3 dimensions, the codebook 65"):
        exchange(a_run, {"read_units": given}, "other", codebook="codebook")


def test_lines_that_are_no_units_and_strangers_are_rejects(a_run, exchange):
    (a_run / "en.txt").write_text("u-en-a|1 2 99\nu-en-nava|1\nnobody|1\nu-hi-a|1\nu-en-c|1\n")
    source = {"format": "quantized", "path": f"{a_run}/en.txt", "lang": "en", "split": "train"}
    counts = exchange(a_run, {"read_units": [source]}, manifest="manifest", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (5, 1, 4)
    reasons = sorted(row["reason"] for row in datasets.rejects(f"{a_run}/out"))
    assert reasons == [
        "the manifest has it in en, test",
        "the manifest has it in hi, train",
        "the manifest has no such utterance",
        "unit 99 is not one of the 20 units 0 to 19",
    ]


def test_unit_files_without_splits_are_split_when_they_are_paired(tmp_path, exchange, pair, rows_of):
    for number in range(40):
        for lang in ("en", "hi"):
            (tmp_path / f"talk_{lang}_{number}.unit").write_text(f"{number} {number} 7\n")
    settings = {"read_units": [{"format": "unit_files", "path": str(tmp_path)}], "num_units": 40, "units_name": "mine"}
    exchange(tmp_path, settings, "units")
    rows = rows_of(tmp_path / "units", UNITS)
    assert (rows[0]["utterance_id"], rows[0]["sentence_id"], rows[0]["split"]) == ("en-talk_en_0", "talk-0", "")
    assert (rows[0]["units"], rows[0]["durations"]) == ([0, 0, 7], [2, 1])
    assert pair(tmp_path) == 80
    assert {row["split"] for row in rows_of(tmp_path / "pairs", PAIRS, "pair_id")} == {"train", "validation"}
    exchange(tmp_path, {"write": ["quantized"]}, units="units")
    assert (tmp_path / "out/quantized/hi/all.txt").read_text().startswith("hi-talk_hi_0|0 0 7\n")


def test_rows_are_written_in_parts(a_run, monkeypatch, exchange, rows_of):
    monkeypatch.setattr(fairseq_import, "PART_ROWS", 3)
    exchange(a_run, {"write": ["km"]}, "theirs", units="units", codebook="codebook")
    settings = {"read_units": sources(a_run / "theirs", "km")}
    exchange(a_run, settings, "ours", manifest="manifest", codebook="codebook")
    assert len(list((a_run / "ours").glob("*.parquet"))) == 3
    assert rows_of(a_run / "ours", UNITS) == rows_of(a_run / "units", UNITS)
