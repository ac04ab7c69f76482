"""A simulated cluster grows for a unit dump and shrinks after it."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from benchmarks import autoscaling

ROOT = Path(__file__).parents[2]
PROGRAM = "import json; from benchmarks import autoscaling; print(json.dumps(autoscaling.measure()))"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_workers_come_for_a_unit_dump_and_leave():
    if not Path("/proc/self").exists():
        pytest.skip("needs /proc to end the processes that a head starts")
    # a process of its own: this one may hold another Ray
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=1100)
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts[0][1:] == [0, 0]
    assert counts[-1][1] == 0
    assert max(gpu for _, gpu, _ in counts) == 2
    assert max(cpu for _, _, cpu in counts) == 1
    first_gpu = next(entry for entry in counts if entry[1])
    assert first_gpu[2] == 1  # speech and codebooks were made without a GPU
    assert "units_stacked: " in done.stdout


def test_the_simulated_cluster_has_the_node_types_of_the_real_one():
    simulated = autoscaling.cluster(6379)
    validate_config(prepare_config({**simulated}))
    real = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]
    for name in ("cpu", "gpu"):
        assert set(simulated["available_node_types"][name]["resources"]) == set(real[name]["resources"])


def test_the_drawing_steps_from_count_to_count():
    svg = ElementTree.fromstring(autoscaling.drawing([(0.0, 0, 0), (10.0, 0, 1), (20.0, 2, 1), (30.0, 0, 0)]))
    lines = [element.get("points").split() for element in svg.iter() if element.tag.endswith("polyline")]
    assert [len(points) for points in lines] == [8, 8]  # two ends of each flat piece
    for points in lines:
        steps = [tuple(map(float, point.split(","))) for point in points]
        assert all(x1 == x2 or y1 == y2 for (x1, y1), (x2, y2) in itertools.pairwise(steps))
