"""Shared by the tests of recipes: a job of a recipe, sent to a Ray head."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.private_head import RAY

ROOT = Path(__file__).parents[2]


@pytest.fixture
def submit():
    """A function that sends `python -m recipes ARGUMENTS` to a dashboard, and gives the process that waits for it."""
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc to end the processes that a head starts")
    sent = []

    def send(dashboard, environment, *arguments):
        runtime = json.dumps({"env_vars": {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}})
        command = [RAY, "job", "submit", "--address", dashboard, "--working-dir", ".", "--runtime-env-json", runtime]
        command += ["--", "python", "-m", "recipes", *arguments]
        sent.append(
            subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return sent[-1]

    yield send
    for process in sent:
        process.kill()
        process.communicate()
