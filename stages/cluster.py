"""The way to Ray: the cluster that RAY_ADDRESS names, or one of our own on this machine."""

import os

import ray
import ray.data

OBJECT_STORE_BYTES = 1 << 30  # of a cluster of our own; data beyond it spills to disk


def connect(quiet: bool = True) -> str:
    """Connect to Ray, starting a local cluster if none is named; returns its address."""
    if not ray.is_initialized():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=True)
        else:
            # Twice the cores, as logical CPUs: a training worker waits for its data workers and must not
            # keep them from starting (with as many CPUs as trainers, Ray Data waits for ever).
            cpus = max(4, 2 * (os.cpu_count() or 1))
            ray.init(
                num_cpus=cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                logging_level="warning" if quiet else "info",
            )
    return ray.get_runtime_context().gcs_address


def worker_environment(address: str) -> dict[str, dict[str, str]]:
    """Make the runtime environment of a step.

    RAY_ADDRESS keeps the helpers of Ray Train at this cluster when the machine runs another one too.
    """
    return {"env_vars": {"RAY_ADDRESS": address}}


def set_up_data() -> None:
    """Settle how Ray Data runs in this process: rows keep their order, no bars in log files."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
