"""Run dump_units on a Ray of its own: python -m benchmarks.ray_step FOLDER NAME WORKERS."""

import sys

from stages.run import run_steps
from stages.stage import Step

if __name__ == "__main__":
    folder, name, workers = sys.argv[1:]
    inputs = {"manifest": ["manifest"], "codebook": ["codebook"]}
    run_steps([Step(name, "pipelines.dump_units", folder, {"max_workers": int(workers)}, inputs)], parallel=2)
