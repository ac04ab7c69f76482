"""A recipe as a job: `ray job submit --working-dir . -- python -m recipes RECIPE` against `ray start --head`."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
RECIPE = """
run: {run}
manifest:
  stage: pipelines.ingest
  phrasebook: {{languages: [en, hi], num_sentences: 12, num_test: 2, num_validation: 2}}
codebook:
  stage: pipelines.fit_codebook
  manifest: manifest
  features: {{kind: stacked_mfcc}}
  num_units: 10
"""


def processes_naming(folder):
    """Numbers of the processes whose command line names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if folder.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture
def head(free_port):
    """A Ray head of its own folder and ports; yields the address of its dashboard."""
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc to end the processes that it starts")
    folder = tempfile.mkdtemp(prefix="s2sthead", dir="/tmp")
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    dashboard = free_port()
    command = [RAY, "start", "--head", f"--port={free_port()}", f"--dashboard-port={dashboard}"]
    command += ["--dashboard-host=127.0.0.1", f"--temp-dir={folder}", "--num-cpus=4", "--object-store-memory=200000000"]
    command += [f"--dashboard-agent-listen-port={free_port()}", "--disable-usage-stats"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    yield f"http://127.0.0.1:{dashboard}"
    # never `ray stop`: it would end every cluster of this machine
    for sign in (signal.SIGTERM, signal.SIGKILL):
        for number in processes_naming(folder):
            try:
                os.kill(number, sign)
            except ProcessLookupError:
                continue
        time.sleep(2)


def submit(head, *entrypoint):
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    runtime = json.dumps({"env_vars": {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}})
    command = [RAY, "job", "submit", "--address", head, "--working-dir", ".", "--runtime-env-json", runtime, "--"]
    return subprocess.run(
        [*command, *entrypoint], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280
    )


def test_a_submitted_job_runs_a_recipe(head, tmp_path):
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(RECIPE.format(run=tmp_path / "run"))
    done = submit(head, "python", "-m", "recipes", str(recipe))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "[2/2] codebook" in done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [row["stage"] for row in summary["stages"]] == ["manifest", "codebook"]
    assert summary["stages"][0]["rows_in"] == 2 * (12 + 2)

    mistaken = submit(head, "python", "-m", "recipes", str(recipe), "codebok.num_units=3")
    assert mistaken.returncode != 0
    assert "unknown section 'codebok'; did you mean 'codebook'?" in mistaken.stdout
