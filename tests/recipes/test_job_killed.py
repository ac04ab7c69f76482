"""The demo's first stages as a job whose driver is killed, then its head: the same command goes on to the same end."""

import os
import signal
import time
from pathlib import Path

import pytest
import yaml

from benchmarks.private_head import end, private_head, processes
from s2st import storage
from s2st.schemas import MANIFEST, UNITS
from stages import datasets

ROOT = Path(__file__).parents[2]
STAGES = ("manifest", "codebook_stacked", "units_stacked")
PATIENCE_SECONDS = 600


@pytest.fixture
def recipe(tmp_path):
    """The first stages of the demo, on fewer sentences and in batches small enough to be killed between."""
    demo = yaml.safe_load((ROOT / "recipes/demo.yaml").read_text())
    sections = {name: demo[name] for name in STAGES}
    sections["manifest"]["phrasebook"] |= {"num_sentences": 200, "num_test": 20, "num_validation": 20}
    sections["units_stacked"] |= {"batch_seconds": 3, "shard_batches": 1}
    path = tmp_path / "first.yaml"
    path.write_text(yaml.safe_dump({"run": str(tmp_path / "unused"), **sections}, sort_keys=False))
    return str(path)


def until(there, job):
    """Wait for something that a job does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not there():
        assert job.poll() is None, job.communicate()[0][-3000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def written(run):
    """Number of the files of units that are written so far."""
    return len(list((run / "units_stacked" / "_parts" / "rows").glob("*.parquet")))


def driver(recipe):
    """Number of the process that runs a recipe, which the job's client is not."""
    return next(number for number, line in processes() if line[1:4] == ["-m", "recipes", recipe])


def rows(run, name, schema):
    return datasets.read_table(f"{run}/{name}", schema).sort_by("utterance_id")


def finished(job):
    told, _ = job.communicate(timeout=PATIENCE_SECONDS)
    assert job.returncode == 0, told[-3000:]
    return told


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_jobs_go_on_to_the_same_output(submit, recipe, tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    (tmp_path / "token").write_text("0123456789abcdef" * 4)
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}

    with private_head("--num-cpus=4", environment=known) as head:
        stranger = submit(head.dashboard, {"RAY_AUTH_MODE": "disabled"}, recipe, f"run={run}")
        told, _ = stranger.communicate(timeout=PATIENCE_SECONDS)
        assert stranger.returncode != 0
        assert "401" in told or "uthentication" in told
        assert not run.exists()

        job = submit(head.dashboard, known, recipe, f"run={run}")
        until(lambda: written(run) >= 5, job)
        os.kill(driver(recipe), signal.SIGKILL)
        assert job.wait(PATIENCE_SECONDS) != 0
        first = written(run)
        assert not storage.is_file(f"{run}/units_stacked/_made_by.json")

        job = submit(head.dashboard, known, recipe, f"run={run}")
        until(lambda: written(run) >= first + 5, job)
        end(head)
        job.kill()
        assert not storage.is_file(f"{run}/units_stacked/_made_by.json")
        second = written(run)

    with private_head("--num-cpus=4", environment=known) as head:
        told = finished(submit(head.dashboard, known, recipe, f"run={run}"))
        assert told.count("done before") == 2
        finished(submit(head.dashboard, known, recipe, f"run={whole}"))

    assert 5 <= first < second
    for name, schema in [("manifest", MANIFEST), ("units_stacked", UNITS)]:
        assert rows(run, name, schema).equals(rows(whole, name, schema))
