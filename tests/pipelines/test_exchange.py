import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import build_pairs, fairseq_speech, fairseq_units, ingest
from pipelines.exchange import ExchangeConfig, run
from pipelines.fairseq_export import Export
from s2st import audio
from s2st.config import UserError, build
from s2st.corpora.s2s import S2s, S2sConfig
from s2st.fairseq import codebooks
from s2st.fairseq.binarized import IndexedSequences
from s2st.fairseq.dictionary import Dictionary
from s2st.fairseq.manifest import read_manifest
from s2st.fairseq.multitask import FISHER, read_multitask, words
from s2st.fairseq.speech_folder import COLUMNS, LANGUAGES
from s2st.fairseq.speech_to_speech import read_s2spect, read_s2ut
from s2st.fairseq.tsv import read_tsv
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
from s2st.pairing import PairingConfig
from s2st.schemas import MANIFEST, PAIRS, UNITS
from s2st.speech_to_units import SpeechToUnits
from s2st.units import reduce
from stages import datasets
from stages.stage import Step

RANDOM = np.random.default_rng(0)
NUM_UNITS = 20
SENTENCES = {"a": "train", "nava": "train", "b.wav": "validation", "c": "test"}
UTTERANCES = [(lang, sentence, split) for lang in ("en", "hi") for sentence, split in SENTENCES.items()]
SPLITS = [("train", "train"), ("validation", "valid"), ("test", "test")]  # our name, fairseq's
ALL_UNIT_FORMATS = ("km", "quantized", "unit_files")


@pytest.fixture(scope="session")
def codebook(tiny_model):
    return SpeechToUnits.load(f"{tiny_model}/codebook")


@pytest.fixture
def a_run(tmp_path, tiny_model, codebook):
    """A run's folder with a manifest, its units, their pairs and the codebook."""
    shutil.copytree(f"{tiny_model}/codebook", tmp_path / "codebook")
    manifest, rows = [], []
    for lang, sentence, split in UTTERANCES:
        waveform = RANDOM.normal(0, 0.1, 8000 + 320 * len(rows)).astype(np.float32)
        shared = {"sentence_id": sentence, "lang": lang, "split": split, "speaker": f"voice-{lang}"}
        shared.update(utterance_id=f"u-{lang}-{sentence}", num_samples=len(waveform))
        manifest.append({**shared, "text": "", "audio": {"bytes": audio.encode(waveform), "path": "x.flac"}})
        (units,) = codebook([waveform])
        rows.append({**shared, "units": units, "durations": reduce(units)[1], **codebook.origin})
    datasets.write_table(pa.Table.from_pylist(manifest, MANIFEST), f"{tmp_path}/manifest")
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{tmp_path}/units")
    pair(tmp_path)
    return tmp_path


def pair(folder, units="units"):
    """Pair units as the recipe's section pairs does; gives the number of pairs."""
    step = Step("pairs", "pipelines.build_pairs", str(folder), {}, {"units": [units]})
    return build_pairs.run(PairingConfig(min_seconds=0), step).rows_out


def exchange(folder, settings, name="out", **inputs):
    """Run a section of the stage; gives what it counted."""
    step = Step(name, "pipelines.exchange", str(folder), settings, {key: [value] for key, value in inputs.items()})
    return run(build(ExchangeConfig, settings, name), step)


def rows_of(folder, schema, key="utterance_id"):
    return sorted(datasets.read_table(str(folder), schema).to_pylist(), key=lambda row: row[key])


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
def test_exported_units_are_imported_as_they_were(a_run, format):
    counts = exchange(a_run, {"write": [format]}, "theirs", units="units", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    settings = {"read_units": sources(a_run / "theirs", format)}
    counts = exchange(a_run, settings, "ours", manifest="manifest", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    assert rows_of(a_run / "ours", UNITS) == rows_of(a_run / "units", UNITS)


def test_without_a_manifest_names_are_sentences(a_run):
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


@pytest.mark.parametrize(
    ("format", "dictionary"), [("text", "number"), ("binarized", "number"), ("binarized", "frequency")]
)
def test_exported_pairs_are_imported_as_they_were(a_run, format, dictionary):
    inputs = {"pairs": "pairs", "codebook": "codebook"}
    counts = exchange(a_run, {"write": [format], "dictionary": dictionary}, "theirs", **inputs)
    assert counts.rows_in == 8
    folders = [(a_run / "theirs" / format / f"{a}-{b}", a, b) for a, b in (("en", "hi"), ("hi", "en"))]
    given = [{"format": format, "path": str(path), "source_lang": a, "target_lang": b} for path, a, b in folders]
    back = exchange(a_run, {"read_pairs": given}, "ours", codebook="codebook")
    assert (back.rows_in, back.rows_out) == (counts.rows_out, counts.rows_out)
    refused = {row["utterance_id"] for row in datasets.rejects(f"{a_run}/theirs")}
    expected = [row for row in rows_of(a_run / "pairs", PAIRS, "pair_id") if row["pair_id"] not in refused]
    assert rows_of(a_run / "ours", PAIRS, "pair_id") == expected
    assert len(refused) == counts.rejects
    assert dictionary == "frequency" or not refused


def test_pairs_with_a_unit_that_training_never_had_are_rejects(a_run):
    rows = rows_of(a_run / "pairs", PAIRS, "pair_id")
    for row in rows:
        row["source_units"], row["target_units"] = [1, 2], [3, 19 if row["split"] == "test" else 4]
    datasets.write_table(pa.Table.from_pylist(rows, PAIRS), f"{a_run}/few")
    counts = exchange(a_run, {"write": ["binarized"], "dictionary": "frequency"}, "theirs", pairs="few")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 6, 2)
    rejects = datasets.rejects(f"{a_run}/theirs")
    assert {row["reason"] for row in rejects} == {
        "unit 19 is not in the dictionary, which lists the units of the training split"
    }
    assert not (a_run / "theirs/binarized/en-hi/test.src-tgt.src.idx").exists()


def test_pairs_without_a_sidecar_get_ids_and_are_reduced(tmp_path):
    (tmp_path / "train.en").write_text("1 1 2\n3\n\n")
    (tmp_path / "train.hi").write_text("4\nx\n1\n")
    source = {"format": "text", "path": str(tmp_path), "source_lang": "en", "target_lang": "hi", "sides": ["en", "hi"]}
    settings = {"read_pairs": [source], "num_units": 5, "units_name": "mine"}
    counts = exchange(tmp_path, settings)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (3, 1, 2)
    (row,) = rows_of(tmp_path / "out", PAIRS, "pair_id")
    assert (row["pair_id"], row["source_utterance_id"]) == ("en-hi-train-1", "en-hi-train-1-source")
    assert (row["source_units"], row["target_units"], row["codebook"]) == ([1, 2], [4], "mine-0-5")
    reasons = {row["utterance_id"]: row["reason"] for row in datasets.rejects(f"{tmp_path}/out")}
    assert reasons == {"en-hi-train-2": "'x' is no unit", "en-hi-train-3": "there are no units"}


def test_a_side_without_the_other_is_not_left_out(a_run):
    exchange(a_run, {"write": ["text"]}, "theirs", pairs="pairs")
    (a_run / "theirs/text/en-hi/valid.src").unlink()
    source = {"format": "text", "path": f"{a_run}/theirs/text/en-hi", "source_lang": "en", "target_lang": "hi"}
    with pytest.raises(UserError, match="cannot read .*valid.src"):
        exchange(a_run, {"read_pairs": [source]}, "ours", codebook="codebook")


def test_labels_are_aligned_to_the_manifest_beside_them(a_run):
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


DICTIONARY_OF_21 = "".join(f"{unit} 1\n" for unit in range(21))


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "dict.km.txt is empty"), (DICTIONARY_OF_21, "dict.km.txt names 21 units, but there are only 20")],
)
def test_labels_beside_the_dictionary_of_another_codebook_are_refused(a_run, text, message):
    exchange(a_run, {"write": ["km"]}, "theirs", units="units")
    (a_run / "theirs/km/en/dict.km.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        exchange(a_run, {"read_units": sources(a_run / "theirs", "km")}, "ours", codebook="codebook")


def test_features_are_averaged_as_the_codebook_wants_them(codebook, tone):
    averaging = SpeechToUnits(FeatureExtractor(FeaturesConfig("stacked_mfcc", smoothing=3)), codebook.codebook)
    features = codebook.extractor([tone])[0]
    assert averaging.quantize(features).tolist() == averaging([tone])[0].tolist()
    assert averaging.quantize(features).tolist() != codebook.quantize(features).tolist()


def test_features_and_a_codebook_make_the_units_of_the_recordings(a_run, codebook):
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


def test_lines_that_are_no_units_and_strangers_are_rejects(a_run):
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


def test_speech_to_speech_folders_hold_the_pairs(a_run):
    rows = rows_of(a_run / "pairs", PAIRS, "pair_id")
    rows[0]["target_units"] = []
    datasets.write_table(pa.Table.from_pylist(rows, PAIRS), f"{a_run}/some")
    inputs = {"pairs": "some", "manifest": "manifest", "codebook": "codebook"}
    counts = exchange(a_run, {"write": ["s2ut", "s2spect"]}, "theirs", **inputs)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (16, 15, 1)
    units, mels = {}, set()
    for direction in ("en-hi", "hi-en"):
        for split in ("train", "valid", "test"):
            folder = a_run / "theirs/s2ut" / direction
            if (folder / f"{split}.tsv").exists():
                units.update({pair.source.pair_id: pair for pair in read_s2ut(folder, split, NUM_UNITS)})
            mels |= {pair.source.pair_id for pair in read_s2spect(a_run / "theirs/s2spect" / direction, split)}
    assert mels == {row["pair_id"] for row in rows}
    assert {name: list(pair.units) for name, pair in units.items()} == {
        row["pair_id"]: row["target_units"] for row in rows[1:]
    }
    speech = {row["utterance_id"]: row["audio"]["bytes"] for row in rows_of(a_run / "manifest", MANIFEST)}
    assert all(pair.source.audio == speech[pair.source.recording_id] for pair in units.values())


def test_only_recordings_of_the_pairs_are_copied_for_a_while_and_in_the_output(a_run):
    table = datasets.read_table(f"{a_run}/pairs", PAIRS).slice(0, 1)
    given = Export(Step("out", "", str(a_run), {}, {"manifest": ["manifest"]}), a_run / "out", (), 0, "number", False)
    with fairseq_speech.recordings(given, table, "source_utterance_id") as known:
        assert list(known) == table["source_utterance_id"].to_pylist()
        assert all(path.is_relative_to(a_run / "out") and path.is_file() for path in known.files.values())
    assert list((a_run / "out").iterdir()) == []


def with_texts(folder, texts):
    """Give the recordings texts by their sentence."""
    rows = rows_of(folder / "manifest", MANIFEST)
    for row in rows:
        row["text"] = texts.get((row["lang"], row["sentence_id"]), "")
    datasets.write_table(pa.Table.from_pylist(rows, MANIFEST), f"{folder}/texts")
    return {row["utterance_id"]: row["text"] for row in rows}


def tables(folder):
    """The ids of the pairs in the tables of a folder, by split."""
    found = {path.stem: read_tsv(path, COLUMNS, LANGUAGES) for path in folder.glob("*.tsv")}
    return {split: [line.values["id"] for line in lines] for split, lines in found.items()}


PAIRED = {"pairs": "pairs", "manifest": "texts", "codebook": "codebook"}


@pytest.mark.parametrize("format", ["s2ut", "s2spect"])
def test_auxiliary_tasks_hold_the_letters_of_the_pairs(a_run, format):
    texts = with_texts(a_run, {(lang, sentence): f"{lang} {sentence}"[:4] for lang, sentence, _ in UTTERANCES})
    counts = exchange(a_run, {"write": [format], "multitask": True}, "theirs", **PAIRED)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (8, 8, 0)
    for direction in ("en-hi", "hi-en"):
        folder = a_run / "theirs" / format / direction
        ids = tables(folder)
        assert sorted(map(len, ids.values())) == [1, 1, 2]
        tasks = read_multitask(folder, list(ids))
        assert {name: task.settings for name, task in tasks.items()} == FISHER
        for name, task in tasks.items():
            assert {split: list(targets) for split, targets in task.targets.items()} == ids
            for pair_id, spelled in [pair for targets in task.targets.values() for pair in targets.items()]:
                source, target = pair_id.split("--")
                assert words(spelled) == texts[source if name == "source_letter" else target]


def test_pairs_that_no_task_can_learn_from_are_told_of_and_set_aside(a_run, capsys):
    texts = {(lang, sentence): "so" for lang, sentence, _ in UTTERANCES}
    texts.update({("hi", "a"): "", ("hi", "nava"): "letters " * 100, ("en", "nava"): "a|b", ("hi", "c"): "x " * 500})
    with_texts(a_run, texts)
    counts = exchange(a_run, {"write": ["s2ut", "s2spect"], "multitask": True}, "theirs", **PAIRED)
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (16, 8, 8)
    reasons = {(row["utterance_id"], row["reason"]) for row in datasets.rejects(f"{a_run}/theirs")}
    assert ("u-en-a--u-hi-a", "s2ut/en-hi: the target has no text") in reasons
    assert ("u-hi-a--u-en-a", "s2spect/hi-en: the source has no text") in reasons
    bar = "the text of the source holds '|', which marks the end of words"
    assert ("u-en-nava--u-hi-nava", f"s2ut/en-hi: {bar}") in reasons
    told = capsys.readouterr().out
    assert "theirs: 2 of 4 pairs are not in s2ut/en-hi: the target has no text (1), the text of the source" in told
    assert "theirs: 1 pairs of validation and test in s2ut/en-hi have more letters than decoder_target_ctc" in told
    for format in ("s2ut", "s2spect"):
        assert sorted(tables(a_run / "theirs" / format / "en-hi")) == ["test", "valid"]
        read_multitask(a_run / "theirs" / format / "en-hi", ["test", "valid"])


def test_training_pairs_with_more_letters_than_steps_are_set_aside(a_run):
    with_texts(a_run, {(lang, sentence): "so it is " * 200 for lang, sentence, _ in UTTERANCES})
    counts = exchange(a_run, {"write": ["s2spect"], "multitask": True}, "theirs", **PAIRED)
    assert counts.rejects == 4
    reasons = {row["reason"] for row in datasets.rejects(f"{a_run}/theirs")}
    assert reasons == {
        f"s2spect/{direction}: the target has more letters than decoder_target_ctc has steps"
        for direction in ("en-hi", "hi-en")
    }


def test_a_language_without_text_has_no_tasks(a_run, capsys):
    with_texts(a_run, {("en", sentence): "so" for sentence in SENTENCES})
    counts = exchange(a_run, {"write": ["s2ut"], "multitask": True}, "theirs", **PAIRED)
    assert counts.rejects == 0
    assert list(read_multitask(a_run / "theirs/s2ut/en-hi", ["train"])) == ["source_letter"]
    assert list(read_multitask(a_run / "theirs/s2ut/hi-en", ["train"])) == ["target_letter", "decoder_target_ctc"]
    assert "hi-en has no text to learn source_letter from, so it comes without" in capsys.readouterr().out


def test_a_corpus_without_text_has_no_tasks(a_run):
    with pytest.raises(UserError, match="cannot write multitask: .*/manifest has no text at all; remove the setting"):
        exchange(a_run, {"write": ["s2ut"], "multitask": True}, **{**PAIRED, "manifest": "manifest"})


def test_a_codebook_is_written_without_refitting(a_run, codebook):
    assert exchange(a_run, {"write": ["kmeans"]}, codebook="codebook").rows_out == NUM_UNITS
    for name in ("km.bin", "centroids.npy"):
        written = codebooks.read(f"{a_run}/out/kmeans/{name}")
        assert np.array_equal(written.centroids.numpy(), codebook.codebook.centroids.numpy())


def test_without_scikit_learn_nothing_is_written(a_run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="out/kmeans/km.bin for fairseq needs scikit-learn; run: pip install .* leave"):
        exchange(a_run, {"write": ["text", "kmeans"]}, codebook="codebook", pairs="pairs")
    assert not (a_run / "out").exists()


@pytest.fixture
def s2ut(a_run):
    """A folder of recordings to units, with auxiliary tasks, en to hi; its texts."""
    texts = with_texts(a_run, {(lang, sentence): f"{lang} {sentence}"[:4] for lang, sentence, _ in UTTERANCES})
    exchange(a_run, {"write": ["s2ut"], "multitask": True}, "theirs", **PAIRED)
    return a_run / "theirs/s2ut/en-hi", texts


def test_a_folder_of_recordings_to_units_makes_our_pairs(a_run, s2ut, codebook):
    folder, texts = s2ut
    corpus = S2s(S2sConfig(str(folder), letters="source_letter"))
    recordings = [ingest.manifest_row(row) for shard in corpus.shards() for row in corpus.read(shard)]
    assert {row["utterance_id"]: row["text"] for row in recordings} == {
        name: text for name, text in texts.items() if name.startswith("u-en")
    }
    rows = []
    for row in recordings:
        (units,) = codebook([audio.decode(row["audio"]["bytes"])])
        rows.append({**row, "units": units, "durations": reduce(units)[1], **codebook.origin})
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{a_run}/dumped")
    counts = exchange(a_run, {"read_units": [{"format": "s2ut", "path": str(folder)}]}, "targets", codebook="codebook")
    assert (counts.rows_in, counts.rows_out, counts.rejects) == (4, 4, 0)
    step = Step("again", "pipelines.build_pairs", str(a_run), {}, {"units": ["dumped", "targets"]})
    build_pairs.run(PairingConfig(directions=("en-hi",), min_seconds=0, max_ratio=100), step)
    columns = ("source_utterance_id", "source_lang", "target_lang", "split", "source_units", "target_units", "codebook")
    ours, theirs = (
        [[row[name] for name in columns] for row in rows_of(a_run / name, PAIRS, "source_utterance_id")]
        for name in ("pairs", "again")
    )
    assert theirs == [row for row in ours if row[1] == "en"]


def test_targets_that_are_no_units_are_refused_or_rejects(a_run, s2ut):
    table = s2ut[0] / "test.tsv"
    header, line = table.read_text().splitlines()
    name, speech, frames, _, _, *languages = line.split("\t")
    given = {"read_units": [{"format": "s2ut", "path": str(s2ut[0])}]}

    def write(units, count):
        table.write_text("\n".join([header, "\t".join([name, speech, frames, units, count, *languages])]) + "\n")

    write("3 99", "2")
    assert exchange(a_run, given, "ours", codebook="codebook").rejects == 1
    (row,) = datasets.rejects(f"{a_run}/ours")
    assert row["utterance_id"] == f"hi-{name}"
    assert row["reason"] == "unit 99 is not one of the 20 units 0 to 19"
    for units, message in [("3 4", "tgt_n_frames is 3, but there are 2 units"), ("mel.zip:1:2", "is not units with")]:
        write(units, "3")
        with pytest.raises(UserError, match=f"test.tsv, line 2: .*{message}"):
            exchange(a_run, given, "other", codebook="codebook")
    table.write_text("\n".join([header, "\t".join([name, speech, frames, "3", "1", "hi", "../../x"])]) + "\n")
    with pytest.raises(UserError, match="test.tsv, line 2: tgt_lang: '../../x' is no language"):
        exchange(a_run, given, "other", codebook="codebook")
    with pytest.raises(UserError, match="the targets of s2ut are of no manifest; remove the input 'manifest'"):
        exchange(a_run, given, "other", codebook="codebook", manifest="manifest")


def test_a_bucket_gets_the_same_files(a_run):
    formats = ["manifest", *ALL_UNIT_FORMATS, "text", "binarized"]
    inputs = {"manifest": "manifest", "units": "units", "pairs": "pairs", "codebook": "codebook"}
    for folder in (str(a_run), f"file://{a_run}"):
        exchange(folder, {"write": formats}, "local" if folder == str(a_run) else "bucket", **inputs)
    local, bucket = (
        {str(path.relative_to(a_run / name)): path.read_bytes() for path in (a_run / name).rglob("*") if path.is_file()}
        for name in ("local", "bucket")
    )
    assert len(local) > 60
    assert {n: d.replace(b"file://", b"").replace(b"/bucket/", b"/local/") for n, d in bucket.items()} == local
    assert any(b"file://" in data for data in bucket.values())


@pytest.mark.parametrize("format", ["s2ut", "s2spect"])
def test_speech_that_fairseq_reads_from_local_folders_is_not_written_to_a_bucket(a_run, format):
    with pytest.raises(UserError, match=f"cannot write {format} to file://.*/theirs: fairseq reads its audio from"):
        exchange(f"file://{a_run}", {"write": ["text", format]}, "theirs", pairs="pairs", manifest="manifest")
    assert not (a_run / "theirs").exists()


def test_tokens_of_a_unit_are_those_of_our_translator(a_run):
    exchange(a_run, {"write": ["binarized"]}, pairs="pairs", codebook="codebook")
    first = IndexedSequences(a_run / "out/binarized/en-hi/train.src-tgt.src")[0]
    row = next(row for row in rows_of(a_run / "pairs", PAIRS, "pair_id") if row["source_lang"] == "en")
    assert first.tolist() == [*(unit + 4 for unit in row["source_units"]), 2]


def test_unit_files_without_splits_are_split_when_they_are_paired(tmp_path):
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


def test_rows_are_written_in_parts(a_run, monkeypatch):
    monkeypatch.setattr(fairseq_units, "PART_ROWS", 3)
    exchange(a_run, {"write": ["km"]}, "theirs", units="units", codebook="codebook")
    settings = {"read_units": sources(a_run / "theirs", "km")}
    exchange(a_run, settings, "ours", manifest="manifest", codebook="codebook")
    assert len(list((a_run / "ours").glob("*.parquet"))) == 3
    assert rows_of(a_run / "ours", UNITS) == rows_of(a_run / "units", UNITS)


SOURCE = {"format": "quantized", "path": "x", "split": "train", "lang": "en"}
LINES = {"format": "text", "path": "x", "source_lang": "en", "target_lang": "hi"}


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        ({}, {}, "give one of write, read_units and read_pairs, found none"),
        ({"write": ["km"], "read_pairs": [1]}, {}, "must be a mapping of settings"),
        ({"write": ["text"], "dictionary": "frequency"}, {}, "dictionary=frequency is of the format binarized"),
        ({"write": ["text"], "multitask": True}, {}, "multitask=true is of the formats s2ut and s2spect"),
        ({"write": ["text"], "units_name": "x"}, {}, "units_name is of units that are read"),
        ({"write": ["km"], "num_units": 20}, {"units": "units", "codebook": "codebook"}, "the codebook says num_units"),
        ({"write": ["npy"]}, {}, "'npy' is not one of manifest, km"),
        ({"write": ["km"]}, {"pairs": "pairs"}, "cannot write km without the input 'units'"),
        ({"write": ["km"], "num_units": 3}, {"units": "units"}, r"there is a unit \d+, but num_units=3"),
        ({"read_units": [{**SOURCE, "format": "km"}]}, {}, "km and features need a tsv"),
        ({"read_units": [{**SOURCE, "lang": ""}]}, {}, "all but unit_files need a lang"),
        ({"read_units": [{**SOURCE, "path": "s3://b/x"}]}, {}, "path of read_units is s3://b/x, but only local files"),
        ({"read_pairs": [{**LINES, "path": "s3://b/x"}]}, {}, "path of read_pairs is s3://b/x, but only local files"),
        ({"read_units": [{**SOURCE, "lang": "../x"}]}, {}, "lang of x: '../x' is no language; give letters, digits"),
        ({"read_pairs": [{**LINES, "source_lang": "e/n"}]}, {}, "source_lang of x: 'e/n' is no language"),
        ({"read_pairs": [{**LINES, "target_lang": "1"}]}, {}, "target_lang of x: '1' is no language"),
        ({"read_units": [{**SOURCE, "format": "s2ut"}]}, {}, "format=s2ut and split=train contradict"),
        (
            {"read_units": [{"format": "s2ut", "path": "/nowhere"}]},
            {"codebook": "codebook"},
            "there is no table such as train.tsv in /nowhere",
        ),
        ({"read_units": [SOURCE]}, {}, "needs the input 'codebook', or num_units and units_name"),
        (
            {"read_pairs": [LINES]},
            {"codebook": "codebook"},
            "there is no train.src, nor of valid or test, in x",
        ),
    ],
)
def test_mistakes_are_told(a_run, settings, inputs, message):
    with pytest.raises(UserError, match=message):
        exchange(a_run, settings, **inputs)


def test_units_of_another_codebook_are_refused(a_run):
    rows = rows_of(a_run / "units", UNITS)
    rows[0]["codebook"] = "other"
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{a_run}/mixed")
    with pytest.raises(UserError, match="the units are not of .*codebook"):
        exchange(a_run, {"write": ["km"]}, units="mixed", codebook="codebook")
    with pytest.raises(UserError, match="the units are of 2 codebooks"):
        exchange(a_run, {"write": ["km"]}, units="mixed")
