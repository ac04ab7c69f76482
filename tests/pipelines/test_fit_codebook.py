import tracemalloc

import numpy as np
import pyarrow as pa
import pytest

from pipelines import fit_codebook
from pipelines.fit_codebook import FitCodebookConfig, apply, fit, standardize
from s2st import audio, checkpoint, storage
from s2st.config import UserError, build, to_mapping
from s2st.fairseq import codebooks
from s2st.feature_extractor import FeaturesConfig
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.cpc import Cpc, CpcConfig
from s2st.schemas import MANIFEST
from s2st.speech_to_units import SpeechToUnits
from stages import datasets
from stages.cluster import set_up_data
from stages.stage import Step


def test_frames_are_scaled_where_they_are():
    frames = np.random.default_rng(0).normal(3, [1, 5], size=(100_000, 2)).astype(np.float32)
    expected = frames.mean(axis=0, dtype=np.float64), frames.std(axis=0, dtype=np.float64)
    tracemalloc.start()
    mean, std = standardize(frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_allclose([mean, std], expected, rtol=1e-4)
    np.testing.assert_allclose([frames.mean(axis=0), frames.std(axis=0)], [[0, 0], [1, 1]], atol=1e-3)
    assert peak < frames.nbytes


def test_a_codebook_scales_as_its_fit_did():
    frames = np.random.default_rng(0).normal(3, [1, 5, 1, 100], size=(2000, 4)).astype(np.float32)
    config = FitCodebookConfig(num_units=10, normalize=True)
    codebook, clustering = fit(config, frames.copy(), "codebook")
    np.testing.assert_array_equal(apply(codebook, frames).units, clustering.units)
    assert apply(codebook, frames).inertias == [pytest.approx(clustering.inertias[-1], rel=1e-4)]


def test_mistakes_are_told():
    with pytest.raises(UserError, match="'codebook': 5 frames cannot make 10 units"):
        fit(FitCodebookConfig(num_units=10), np.zeros((5, 3), np.float32), "codebook")
    for settings, message in (
        ({"num_units": 0}, "num_units=0 must be from 1 to 65,536"),
        ({"num_units": 70_000}, "num_units=70000 must be from 1 to 65,536"),
        ({"num_frames": 0}, "num_frames=0 must be at least 1"),
        ({"search": "lsh"}, "'lsh' is not one of exact, hnsw, ivf"),
        ({"exports": ["fairseq", "onnx"]}, "'onnx' is not one of fairseq, seamless"),
        ({"num_units": 50, "centroids": "km.bin"}, "num_units=50 is of centroids that are fitted.*; remove num_units"),
        ({"num_frames": 99}, "num_frames=99 cannot make 100 units; raise num_frames"),
        ({"normalize": True, "centroids": "km.bin"}, "normalize=true goes with neither centroids nor exports"),
    ):
        with pytest.raises(UserError, match=message):
            build(FitCodebookConfig, settings, "codebook")


def test_the_default_number_of_units_is_recorded():
    """So that a run that took it is known again, and one that asks for the same number is the same."""
    assert build(FitCodebookConfig, {}, "codebook").num_units == 100
    assert build(FitCodebookConfig, {"num_units": None}, "codebook") == FitCodebookConfig(num_units=100)
    copied = FitCodebookConfig(centroids="km.bin")
    assert copied.num_units is None
    assert build(FitCodebookConfig, to_mapping(copied), "codebook") == copied


def write_splits(folder, *splits):
    """Write a manifest of an utterance in each of some splits."""
    rows = [{"utterance_id": split, "split": split} for split in splits]
    datasets.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), f"{folder}/manifest")


def test_an_encoder_without_the_layer_is_refused_before_the_old_output_is_deleted(tmp_path):
    write_splits(tmp_path, "train")
    checkpoint.save(f"{tmp_path}/encoder", Cpc(CpcConfig(8, 8, 1)))
    inputs = {"manifest": ["manifest"], "encoder": ["encoder"]}
    step = Step("codebook", "pipelines.fit_codebook", str(tmp_path), {}, inputs)
    fit_codebook.check_inputs(FitCodebookConfig(FeaturesConfig("cpc", 1)), step)
    with pytest.raises(UserError, match="section 'codebook': layer=2, but .*/encoder has 1; choose one it has"):
        fit_codebook.check_inputs(FitCodebookConfig(FeaturesConfig("cpc", 2)), step)


def test_centroids_that_cannot_be_taken_are_told_before_anything_runs(tmp_path, monkeypatch):
    step = Step("codebook", "pipelines.fit_codebook", str(tmp_path), {}, {"manifest": ["manifest"]})
    path = f"{tmp_path}/centroids.npy"
    np.save(path, np.zeros((4, 39), np.float32))
    whole = storage.read_bytes(path)
    fit_codebook.check(FitCodebookConfig(centroids=path), step)
    with pytest.raises(UserError, match="'codebook': .*centroids.npy has centroids of 39 features, but a frame has 80"):
        fit_codebook.check(FitCodebookConfig(FeaturesConfig("log_mel"), centroids=path), step)
    storage.write_bytes(path, whole[:-4])
    with pytest.raises(UserError, match="centroids.npy is not a whole .npy"):
        fit_codebook.check(FitCodebookConfig(centroids=path), step)
    monkeypatch.setattr(codebooks, "read", lambda *_: Codebook(CodebookConfig(4, 39, 8)))
    fit_codebook.check(FitCodebookConfig(centroids=path), step)
    with pytest.raises(UserError, match="centroids.npy projects features, and exports cannot tell this; remove"):
        fit_codebook.check(FitCodebookConfig(centroids=path, exports=("seamless",)), step)


def test_centroids_of_another_encoder_are_told_when_it_is_there(tmp_path):
    write_splits(tmp_path, "train")
    checkpoint.save(f"{tmp_path}/encoder", Cpc(CpcConfig(8, 16, 1)))
    inputs = {"manifest": ["manifest"], "encoder": ["encoder"]}
    step = Step("codebook", "pipelines.fit_codebook", str(tmp_path), {}, inputs)
    config = FitCodebookConfig(FeaturesConfig("cpc", 1), centroids=f"{tmp_path}/centroids.npy")
    np.save(config.centroids, np.zeros((4, 16), np.float32))
    fit_codebook.check(config, step)
    fit_codebook.check_inputs(config, step)
    np.save(config.centroids, np.zeros((4, 8), np.float32))
    fit_codebook.check(config, step)
    with pytest.raises(UserError, match="has centroids of 8 features, but a frame has 16; take the features or"):
        fit_codebook.check_inputs(config, step)


def test_a_manifest_without_training_speech_is_told(tmp_path):
    step = Step("codebook", "pipelines.fit_codebook", str(tmp_path), {}, {"manifest": ["manifest"]})
    write_splits(tmp_path, "validation", "test")
    with pytest.raises(UserError, match="manifest has no training split, and a codebook is fitted on nothing else"):
        fit_codebook.check_inputs(FitCodebookConfig(), step)


@pytest.fixture
def run_folder(tmp_path):
    """A run with a manifest of 150 training utterances and as many for validation, and one without the latter."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(150):
        tone = np.sin(2 * np.pi * rng.uniform(80, 4000) * np.arange(rng.integers(6000, 12_000)) / 16_000)
        waveform = (0.1 * tone + 0.01 * rng.normal(size=len(tone))).astype(np.float32)
        noise = rng.normal(size=len(tone)).astype(np.float32) * 0.3
        for split, data in (("train", audio.encode(waveform)), ("validation", audio.encode(noise))):
            row = {"utterance_id": f"{split}-{i}", "sentence_id": str(i), "lang": "en", "split": split, "speaker": "a"}
            rows.append({**row, "text": "", "audio": {"bytes": data, "path": ""}, "num_samples": len(waveform)})
    training = [row for row in rows if row["split"] == "train"]
    datasets.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), f"{tmp_path}/manifest")
    datasets.write_table(pa.Table.from_pylist(training, schema=MANIFEST), f"{tmp_path}/training")
    return str(tmp_path)


def test_a_codebook_of_training_speech_and_its_copies(local_ray, run_folder):
    """Fitted by one worker and by three, and read back from the file for fairseq that the first one writes."""
    set_up_data()

    def run(name, manifest="manifest", num_units=12, **settings):
        config = FitCodebookConfig(FeaturesConfig("stacked_mfcc"), num_units, num_frames=3000, **settings)
        step = Step(name, "pipelines.fit_codebook", run_folder, {}, {"manifest": [manifest]})
        counts = fit_codebook.run(config, step)
        return counts, SpeechToUnits.load(step.output), checkpoint.read_config(step.output)["info"]

    counts, one, info = run("one", max_workers=1, exports=("fairseq", "seamless"))
    _, three, _ = run("three", max_workers=3)
    assert one.fingerprint == three.fingerprint
    _, without_validation, _ = run("without", "training")
    assert without_validation.fingerprint == one.fingerprint
    assert counts.rows_in < 150
    assert (info["num_units"], info["used_units"]) == (12, 12)
    assert 3000 <= 1.1 * info["num_frames"] < 3600
    assert info["hours"] == pytest.approx(counts.audio_hours, rel=0.1)
    assert info["inertias"][-1] == info["inertia"] < info["inertias"][0]
    assert 0 < info["entropy_bits"] <= np.log2(12) + 1e-4
    assert info["mean_segment_ms"] > 20
    assert storage.read_bytes(f"{run_folder}/one/report.html").count(b"<svg") == 3

    _, copy, copied = run("copy", num_units=None, centroids=f"{run_folder}/one/km.bin", search="hnsw")
    assert copy.fingerprint == f"{one.fingerprint}-hnsw"
    assert copied["centroids"] == f"{run_folder}/one/km.bin"
    assert copied["inertia"] == pytest.approx(info["inertia"], rel=1e-3)
    assert copied["used_units"] == 12
    np.testing.assert_array_equal(
        codebooks.read(f"{run_folder}/one/centroids.npy").centroids.numpy(), one.codebook.centroids.numpy()
    )
