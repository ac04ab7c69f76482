"""Nodes over time: a cluster without workers grows for two unit dumps on GPUs, and shrinks when they are done.

python -m benchmarks.autoscaling

The cluster is simulated on this machine: Ray's own autoscaler starts and ends nodes that are processes, and whose GPUs
are only counted. Writes the drawing and its caption into docs/.
"""

import datetime
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import ray
import yaml

from benchmarks.private_head import free_ports, private_head
from s2st.evaluation.charts import Series, line_chart
from stages import stage
from stages.recipe import open_recipe
from stages.run import run_steps

DOCS = Path(__file__).parents[1] / "docs"
PAGE, DRAWING = DOCS / "clusters.md", DOCS / "autoscaling.svg"
PLACE = re.compile(r"(<!-- results: autoscaling -->\n).*?(<!-- end -->)", re.DOTALL)
HEAD_ID = "f" * 51 + "00000"  # that the provider expects
IDLE_MINUTES = 1.0  # less, and a busy machine ends a node before its first worker process is there
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 300  # for the last worker to leave
RECIPE = """
run: {run}
parallel: 2
manifest:
  stage: pipelines.ingest
  phrasebook: {{languages: [en, hi], num_sentences: 60, num_test: 5, num_validation: 5}}
codebook_mfcc: &codebook
  stage: pipelines.fit_codebook
  manifest: manifest
  num_frames: 20_000
  max_workers: 1
codebook_stacked:
  <<: *codebook
  features: {{kind: stacked_mfcc}}
units_mfcc: &units
  stage: pipelines.dump_units
  manifest: manifest
  codebook: codebook_mfcc
  num_gpus: 1
  max_workers: 1
units_stacked:
  <<: *units
  codebook: codebook_stacked
"""
STYLE = """<style>
text {font: 12px sans-serif; fill: #777} line, polyline {stroke: #777; fill: none; stroke-width: 0.5}
.s0, .s1 {stroke-width: 2} .s0 {stroke: #2a78d6} .s1 {stroke: #d66a2a; stroke-dasharray: 5 3}
</style>"""

Counts = list[tuple[float, int, int]]  # seconds, workers with a GPU, workers without: one entry a change


def cluster(port: int) -> dict[str, Any]:
    """Configure the autoscaler: the node types of cluster.yaml in small, by Ray's simulated provider."""
    nothing = ("setup_commands", "head_setup_commands", "worker_setup_commands", "initialization_commands")
    nothing += ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude")
    provider = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    return {
        **{key: [] for key in nothing},
        "cluster_name": "simulated",
        "file_mounts": {},
        "auth": {},
        "max_workers": 3,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": {
            "type": "external",
            "module": provider,
            "gcs_address": f"{ray.util.get_node_ip_address()}:{port}",
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
            "disable_node_updaters": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "cpu": {"resources": {"CPU": 8}, "node_config": {}, "min_workers": 0, "max_workers": 1},
            "gpu": {"resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": 2},
        },
    }


def measure() -> Counts:
    """Run the recipe on the simulated cluster, and count its workers until all have left."""
    with tempfile.TemporaryDirectory(prefix="s2st-autoscaling-") as name:
        (port,) = free_ports(1)
        config, recipe = Path(name, "cluster.yaml"), Path(name, "recipe.yaml")
        config.write_text(yaml.safe_dump(cluster(port)))
        recipe.write_text(RECIPE.format(run=f"{name}/run"))
        environment = {
            "RAY_AUTH_MODE": "disabled",
            "RAY_FAKE_CLUSTER": "1",
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        }
        options = ("--num-cpus=0", "--include-dashboard=false", f"--autoscaling-config={config}")
        with private_head(*options, environment=environment, port=port) as head:
            os.environ |= {"RAY_ADDRESS": f"{ray.util.get_node_ip_address()}:{head.port}", "RAY_AUTH_MODE": "disabled"}
            return _watched(recipe)


def _watched(recipe: Path) -> Counts:
    """Run a recipe on the cluster of RAY_ADDRESS with somebody who counts, until the workers with a GPU have left.

    The one without may stay while this process lives.
    """
    ray.init(log_to_driver=False, logging_level="error")
    counts: Counts = []
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(counts, ended))
    watcher.start()
    try:
        _, steps, parallel = open_recipe(str(recipe), [])
        run_steps(steps, parallel)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while _workers()[0] and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        if _workers()[0]:
            raise RuntimeError(f"workers with a GPU did not leave within {PATIENCE_SECONDS} s")
    finally:
        ended.set()
        watcher.join()
        ray.shutdown()
    return counts


def _watch(counts: Counts, ended: threading.Event) -> None:
    """Note each change of the number of workers."""
    start, last = time.monotonic(), False
    while not last:
        last = ended.wait(LOOK_SECONDS)
        found = _workers()
        if not counts or counts[-1][1:] != found:
            counts.append((round(time.monotonic() - start, 1), *found))


def _workers() -> tuple[int, int]:
    """Count the nodes beside the head: those with a GPU, and those without."""
    workers = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != HEAD_ID]
    gpu = sum("GPU" in resources for resources in workers)
    return gpu, len(workers) - gpu


def drawing(counts: Counts) -> str:
    """Draw the number of workers as steps."""
    end = counts[-1][0] + 5
    lines = []
    for name, column in (("with a GPU", 1), ("without", 2)):
        seconds, values = [], []
        for entry, after in zip(counts, [*[later[0] for later in counts[1:]], end], strict=True):
            seconds += [entry[0], after]
            values += [entry[column]] * 2
        lines.append(Series(name, tuple(seconds), tuple(values)))
    svg = line_chart(lines, "seconds", "workers")
    return svg.replace(">", f' xmlns="http://www.w3.org/2000/svg">{STYLE}', 1) + "\n"


def caption(counts: Counts) -> str:
    """Say what was seen, and where it comes from."""
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    seen = f"From 0 to {max(entry[1] for entry in counts)} workers with a GPU and back in {counts[-1][0]:.0f} s."
    picture = f"![Workers over time]({DRAWING.name})\n\n"
    return f"{picture}{seen} `python -m benchmarks.autoscaling`, {date}, commit {stage.commit()}, {stage.machine()}.\n"


def main() -> None:
    """Measure, draw and tell."""
    counts = measure()
    print(json.dumps(counts))
    DRAWING.write_text(drawing(counts), encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(PLACE.sub(lambda found: found[1] + caption(counts) + found[2], page), encoding="utf-8")


if __name__ == "__main__":
    main()
