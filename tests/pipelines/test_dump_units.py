"""Units from a manifest: the same rows for any number of workers, and whatever is killed on the way."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipelines.dump_units import DumpUnitsConfig, check_inputs, run
from pipelines.speech_batches import BATCHES, Decoder
from s2st import audio, storage
from s2st.config import UserError
from s2st.feature_extractor import FeatureExtractor, FeaturesConfig
from s2st.models.codebook import Codebook, CodebookConfig
from s2st.models.hubert import Hubert, HubertConfig
from s2st.precision import has_bf16
from s2st.schemas import MANIFEST, UNITS
from s2st.speech_to_units import SpeechToUnits
from s2st.units import expand, reduce
from stages import datasets, exactly_once
from stages.cluster import set_up_data
from stages.stage import MADE_BY, Step

ROOT = Path(__file__).parents[2]
NUM_ROWS = 240
BROKEN = 7
TINY = HubertConfig(
    conv_layers=((16, 10, 5), *((16, 3, 2),) * 4, *((16, 2, 2),) * 2),
    width=32,
    num_layers=2,
    num_heads=2,
    ffn_dim=64,
    positional_kernel=8,
    positional_groups=2,
    num_classes=5,
)
DRIVER = """
import sys
from stages.run import run_steps
from stages.stage import Step
inputs = {"manifest": ["manifest"], "codebook": ["codebook"]}
settings = {"shard_batches": 2, "batch_seconds": 2.0, "max_workers": 2}
rows = run_steps([Step("units", "pipelines.dump_units", sys.argv[1], settings, inputs)], parallel=1)[0]["rows_out"]
print(f"rows={rows}")
"""

CLUSTER = """
import glob, os, sys, threading, time
from ray.cluster_utils import Cluster
folder = sys.argv[1]
head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 100 << 20}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=6, object_store_memory=150 << 20) for _ in range(2)]
os.environ["RAY_ADDRESS"] = cluster.address
def lose_a_node():
    while len(glob.glob(f"{folder}/units/_parts/written/*")) < 10:
        time.sleep(0.02)
    cluster.remove_node(nodes[int(sys.argv[2])], allow_graceful=False)
    print("lost", flush=True)
threading.Thread(target=lose_a_node, daemon=True).start()
"""


def step_in(folder, **settings):
    inputs = {"manifest": ["manifest"], "codebook": ["codebook"]}
    return Step("units", "pipelines.dump_units", str(folder), {"shard_batches": 2, **settings}, inputs)


def write_inputs(folder):
    """Write a manifest of noises of 0.1 to 3 s, some of them broken, and a codebook of a tiny HuBERT."""
    draw = np.random.default_rng(0)
    rows = []
    for number in range(NUM_ROWS):
        waveform = draw.normal(0, 0.1, int(16_000 * draw.uniform(0.1, 3))).astype(np.float32)
        waveform = np.convolve(waveform, draw.normal(0, 0.3, 30))[: len(waveform)].astype(np.float32)
        data = audio.encode(waveform)
        rows.append(
            {
                "utterance_id": f"u{number:03d}",
                "sentence_id": f"s{number // 2}",
                "lang": "en" if number % 2 else "hi",
                "split": "test" if number % 10 == 0 else "train",
                "speaker": "a",
                "text": "",
                "audio": {"bytes": data[: len(data) // 2] if number < BROKEN else data, "path": ""},
                "num_samples": len(waveform),
            }
        )
    draw.shuffle(rows)
    for part in range(4):
        table = pa.Table.from_pylist(rows[part::4], schema=MANIFEST)
        (folder / "manifest").mkdir(exist_ok=True)
        pq.write_table(table, folder / "manifest" / f"part-{part}.parquet")
    torch.manual_seed(0)
    encoder = Hubert(TINY).eval()
    codebook = Codebook(CodebookConfig(num_units=30, feature_dim=32))
    extractor = FeatureExtractor(FeaturesConfig("hubert", 2), encoder)
    waveforms = [audio.decode(row["audio"]["bytes"]) for row in rows if row["utterance_id"] >= f"u{BROKEN:03d}"]
    codebook.centroids.copy_(torch.from_numpy(np.concatenate(extractor(waveforms[:10]))[:600:20]))
    SpeechToUnits(extractor, codebook).save(f"{folder}/codebook", {})
    for name in ("manifest", "codebook"):
        (folder / name / MADE_BY).write_text(json.dumps({"fingerprint": name, "date": ""}))


def rows_of(folder):
    """All rows and rejects of a dataset, in the order of its files."""
    return datasets.read_table(f"{folder}/units", UNITS).to_pylist(), datasets.rejects(f"{folder}/units")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture
def run_folder(inputs, tmp_path):
    """A folder for a run, with the inputs in it."""
    for name in ("manifest", "codebook"):
        (tmp_path / name).symlink_to(inputs / name)
    return tmp_path


@pytest.fixture(scope="module")
def uninterrupted(inputs, local_ray):
    """Rows and rejects of a run that nothing disturbed."""
    set_up_data()
    run(DumpUnitsConfig(shard_batches=2, batch_seconds=2.0), step_in(inputs))
    return rows_of(inputs)


def test_units_are_those_of_each_utterance_alone(inputs, uninterrupted):
    rows, rejects = uninterrupted
    assert len(rows) == NUM_ROWS - BROKEN
    assert sorted(row["utterance_id"] for row in rejects) == [f"u{number:03d}" for number in range(BROKEN)]
    assert all(row["reason"] for row in rejects)
    manifest = datasets.read_table(f"{inputs}/manifest", MANIFEST).to_pylist()
    recordings = {row["utterance_id"]: row["audio"]["bytes"] for row in manifest}
    speech_to_units = SpeechToUnits.load(f"{inputs}/codebook")
    for row in rows[::5]:
        units = speech_to_units([audio.decode(recordings[row["utterance_id"]])])[0]
        assert row["units"] == units.tolist()
        assert len(units) == audio.num_frames(row["num_samples"])
        assert expand(reduce(units)[0], np.array(row["durations"])).tolist() == row["units"]
        assert {name: row[name] for name in ("encoder", "layer", "codebook")} == speech_to_units.origin


def test_rows_are_the_same_for_other_workers_and_shards(run_folder, uninterrupted):
    set_up_data()
    run(DumpUnitsConfig(shard_batches=9, batch_seconds=11.0, max_workers=1), step_in(run_folder))
    assert rows_of(run_folder) == uninterrupted


def test_batches_are_packed_by_seconds_and_nothing_is_lost(inputs):
    table = datasets.read_table(f"{inputs}/manifest", MANIFEST)
    batches = [batch for part in Decoder(6.0)(table) for batch in part.cast(BATCHES)["batch"].to_pylist()]
    assert sorted(row["utterance_id"] for batch in batches for row in batch) == sorted(
        table["utterance_id"].to_pylist()
    )
    padded = [len(batch) * max(row["num_samples"] for row in batch) / 16_000 for batch in batches]
    assert max(padded) <= 6.0
    assert np.mean(padded) > 4.0
    assert len({len(batch) for batch in batches}) > 5  # so a batch is no number of rows


def test_a_merge_that_was_broken_off_is_done_again(run_folder, uninterrupted, monkeypatch):
    set_up_data()
    write_json = storage.write_json

    def killed(address, value):
        if address.endswith(exactly_once.MERGED):
            raise KeyboardInterrupt
        write_json(address, value)

    monkeypatch.setattr(storage, "write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        run(DumpUnitsConfig(), step_in(run_folder))
    monkeypatch.undo()
    monkeypatch.setattr("pipelines.dump_units.units_of", None)  # nothing is made again
    run(DumpUnitsConfig(), step_in(run_folder))
    assert rows_of(run_folder) == uninterrupted
    assert not (run_folder / "units" / exactly_once.PARTS).exists()


def test_bf16_tells_how_many_units_it_changes(run_folder, local_ray, capsys):
    set_up_data()
    run(DumpUnitsConfig(bf16=True), step_in(run_folder, bf16=True))
    found = storage.read_json(f"{run_folder}/units/_bf16.json")
    assert found["frames"] > 1000
    assert found["share"] < 0.2
    assert (found["share"] > 0) == has_bf16(torch.device("cpu"))
    assert pq.read_table(run_folder / "units").num_rows == NUM_ROWS - BROKEN  # names that begin with _ are left out


def test_bf16_of_features_without_an_encoder_is_refused(tmp_path):
    extractor = FeatureExtractor(FeaturesConfig("mfcc"))
    SpeechToUnits(extractor, Codebook(CodebookConfig(num_units=3, feature_dim=39))).save(f"{tmp_path}/codebook", {})
    check_inputs(DumpUnitsConfig(), step_in(tmp_path))
    with pytest.raises(UserError, match="section 'units': bf16 is for features of an encoder"):
        check_inputs(DumpUnitsConfig(bf16=True), step_in(tmp_path))


def written(folder):
    """Names of the files of finished shards."""
    return {path.name for path in (folder / "units" / exactly_once.PARTS / "written").glob("*.parquet")}


def ids_in(folder, names):
    """Number of rows that the finished shards hold."""
    paths = [folder / "units" / exactly_once.PARTS / "written" / name for name in names]
    return sum(pq.read_metadata(path).num_rows for path in paths)


def start(folder, temporary):
    environment = {**os.environ, "RAY_TMPDIR": temporary}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )


def processes_below(ancestor, name):
    """Numbers of the processes below one whose title begins so."""
    found, newest = [], {ancestor}
    while newest:
        children = set()
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(path.read_text().rpartition(")")[2].split()[1]) in newest:
                    children.add(int(path.parent.name))
            except OSError:
                continue
        newest = children
        for number in children:
            try:
                if Path(f"/proc/{number}/cmdline").read_bytes().startswith(name.encode()):
                    found.append(number)
            except OSError:
                continue
    return found


def wait_for_shards(folder, process, more_than):
    deadline = time.monotonic() + 120
    while len(written(folder)) <= more_than:
        assert time.monotonic() < deadline, "no shard was finished"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to find workers")
def test_after_kills_at_random_times_the_output_equals_an_uninterrupted_run(run_folder, uninterrupted):
    draw = random.Random()
    temporary = tempfile.mkdtemp(prefix="s2stkill", dir="/tmp")
    process = start(run_folder, temporary)
    wait_for_shards(run_folder, process, 0)
    time.sleep(draw.uniform(0, 0.5))
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(2)  # for what still writes
    done = {name for name in written(run_folder) if "pending" not in name}
    assert 0 < ids_in(run_folder, done) < NUM_ROWS  # the kill came in the middle
    process = start(run_folder, temporary)
    wait_for_shards(run_folder, process, len(done))
    assert done <= set(written(run_folder))  # what was done stays done
    workers = processes_below(process.pid, "ray::MapWorker")
    assert workers
    os.kill(draw.choice(workers), signal.SIGKILL)  # this run goes on without it
    output, _ = process.communicate(timeout=200)
    assert f"rows={NUM_ROWS - BROKEN}" in output
    assert rows_of(run_folder) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("node", [0, 1])  # one of them runs the step itself
def test_a_node_that_is_lost_loses_no_rows(run_folder, uninterrupted, node):
    temporary = tempfile.mkdtemp(prefix="s2stnode", dir="/tmp")
    command = [sys.executable, "-c", CLUSTER + DRIVER, str(run_folder), str(node)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "RAY_TMPDIR": temporary}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "lost" in done.stdout.split()
    assert f"rows={NUM_ROWS - BROKEN}" in done.stdout, done.stdout[-2000:]
    assert rows_of(run_folder) == uninterrupted
