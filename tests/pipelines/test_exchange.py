import numpy as np
import pyarrow as pa
import pytest

from pipelines.exchange import STAGE
from s2st.config import UserError
from s2st.fairseq import codebooks
from s2st.schemas import UNITS
from stages import datasets
from stages.stage import Step, config_of

NUM_UNITS = 20
ALL_UNIT_FORMATS = ("km", "quantized", "unit_files")
SOURCE = {"format": "quantized", "path": "x", "split": "train", "lang": "en"}
LINES = {"format": "text", "path": "x", "source_lang": "en", "target_lang": "hi"}
TARGETS = {"format": "s2ut", "path": "/nowhere"}


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
            {"read_units": [TARGETS]},
            {"codebook": "codebook"},
            "out.read_units: there is no folder /nowhere; give one that is there",
        ),
        ({"read_units": [SOURCE]}, {}, "needs the input 'codebook', or num_units and units_name"),
        (
            {"read_units": [SOURCE]},
            {"codebook": "codebook"},
            "out.read_units: there is no file x; give one that is there",
        ),
        (
            {"read_units": [{**SOURCE, "format": "km", "tsv": "x.tsv"}]},
            {"codebook": "codebook", "units": "units"},
            "out.read_units: there is no file x; give one that is there",
        ),
        (
            {"read_units": [TARGETS]},
            {"codebook": "codebook", "manifest": "manifest"},
            "s2ut are of no manifest; remove",
        ),
        (
            {"read_units": [{**TARGETS, "path": "/"}]},
            {"codebook": "codebook"},
            "there is no table such as train.tsv in /",
        ),
        (
            {"read_pairs": [{**LINES, "path": "/"}]},
            {"codebook": "codebook"},
            "there is no train.src, nor of valid or test, in /",
        ),
        (
            {"read_pairs": [LINES]},
            {"codebook": "codebook"},
            "out.read_pairs: there is no folder x; give one that is there",
        ),
    ],
)
def test_mistakes_are_told(a_run, settings, inputs, message, exchange):
    with pytest.raises(UserError, match=message):
        exchange(a_run, settings, **inputs)


def test_units_of_another_codebook_are_refused(a_run, exchange, rows_of):
    rows = rows_of(a_run / "units", UNITS)
    rows[0]["codebook"] = "other"
    datasets.write_table(pa.Table.from_pylist(rows, UNITS), f"{a_run}/mixed")
    with pytest.raises(UserError, match="the units are not of .*codebook"):
        exchange(a_run, {"write": ["km"]}, units="mixed", codebook="codebook")
    with pytest.raises(UserError, match="the units are of 2 codebooks"):
        exchange(a_run, {"write": ["km"]}, units="mixed")


def test_a_codebook_is_written_without_refitting(a_run, codebook, exchange):
    assert exchange(a_run, {"write": ["kmeans"]}, codebook="codebook").rows_out == NUM_UNITS
    for name in ("km.bin", "centroids.npy"):
        written = codebooks.read(f"{a_run}/out/kmeans/{name}")
        assert np.array_equal(written.centroids.numpy(), codebook.codebook.centroids.numpy())


def test_without_scikit_learn_nothing_is_written(a_run, monkeypatch, exchange):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="out/kmeans/km.bin for fairseq needs scikit-learn; run: pip install .* leave"):
        exchange(a_run, {"write": ["text", "kmeans"]}, codebook="codebook", pairs="pairs")
    assert not (a_run / "out").exists()


def test_a_bucket_gets_the_same_files(a_run, exchange):
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
def test_speech_that_fairseq_reads_from_local_folders_is_not_written_to_a_bucket(a_run, format, exchange):
    with pytest.raises(UserError, match=f"cannot write {format} to file://.*/theirs: fairseq reads its audio from"):
        exchange(f"file://{a_run}", {"write": ["text", format]}, "theirs", pairs="pairs", manifest="manifest")
    assert not (a_run / "theirs").exists()


@pytest.mark.parametrize(
    ("settings", "inputs", "message"),
    [
        ({"write": ["s2ut"]}, ["pairs"], "section 'out' cannot write s2ut without the input 'manifest'; name it"),
        ({"write": ["km"], "num_units": 20}, ["units", "codebook"], "section 'out': the codebook says num_units"),
        ({"read_units": [{**SOURCE, "path": __file__}]}, [], "section 'out' needs the input 'codebook', or num_units"),
        ({"read_pairs": [LINES]}, ["codebook"], "out.read_pairs: there is no folder x; give one that is there"),
    ],
)
def test_what_settings_tell_is_told_before_the_inputs_are_there(tmp_path, settings, inputs, message):
    step = Step("out", "pipelines.exchange", str(tmp_path), settings, {name: [name] for name in inputs})
    with pytest.raises(UserError, match=message):
        STAGE.check(config_of(step), step)
