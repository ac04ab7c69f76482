"""The way to Ray: the cluster that RAY_ADDRESS names, or one of our own on this machine."""

import os
import signal
import time
from typing import Any

import ray
import ray.data
from ray.data._internal.execution.execution_callback import ExecutionCallback  # its only home in 2.60

from s2st.config import UserError

PAUSE_SECONDS = 0.02  # of the loop that runs a dataset, after each of its steps
CORES = "cores"  # a resource of a cluster of our own, for workers with models
OBJECT_STORE_BYTES = 1 << 30  # of a cluster of our own; data beyond it spills to disk
MAX_BLOCK_BYTES = 32 << 20  # that a task gives out at once: a fourth of Ray's, so that readers wait less and hold less

MEMORY_SETTINGS = {  # of the environment, which Ray's processes inherit
    # PyTorch keeps a kernel for each shape that it met, a thousand of each kind, and batches of speech seldom have a
    # shape twice: trainings grew by gigabytes. With few kept, they take a third of the memory and no more time.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64",
    "LRU_CACHE_CAPACITY": "64",
    # One heap for all threads of a process, for large tensors too: what was freed is used again, not fetched anew
    # from the system, which takes a fifth off the time of a small training step.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # Arrow's own keeps what it freed beside that heap
}


def connect() -> str:
    """Connect to Ray, starting a local cluster if none is named; returns its address.

    What steps have to say comes by the console (stages.console); Ray's own logs stay in its session's folder.
    """
    if not ray.is_initialized():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False, logging_level="error")
        else:
            # Twice the cores, as logical CPUs: a training worker waits for its data workers and must not
            # keep them from starting (with as many CPUs as trainers, Ray Data waits for ever).
            num_cpus = max(4, 2 * (os.cpu_count() or 1))
            for name, value in {**MEMORY_SETTINGS, **_process_settings(num_cpus)}.items():
                os.environ.setdefault(name, value)
            _start(num_cpus)
        # As Ctrl-C does, SIGTERM ends what runs with a sentence; Ray's own handler prints a stack of its core.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    return ray.get_runtime_context().gcs_address


def _start(num_cpus: int) -> None:
    """Start a cluster of our own; raises UserError if the machine is too busy for that."""
    try:
        ray.init(
            "local",  # also where `ray start` has left another one: that one is asked for by RAY_ADDRESS
            num_cpus=num_cpus,
            resources={CORES: os.cpu_count() or 1},
            object_store_memory=OBJECT_STORE_BYTES,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
    except Exception as error:
        if "timed out during startup" not in str(error):  # Ray has no kind of its own for it
            raise
        raise UserError("Ray did not start in time, as the machine is busy; run the same command again") from None


def _process_settings(num_cpus: int) -> dict[str, str]:
    """Settle how many processes Ray keeps and starts on this machine."""
    return {
        # Idle ones above this number are ended: each holds most of a gigabyte. Starting one again costs four seconds
        # of a core (torch), so with none kept, readings of data would be slow.
        "RAY_num_workers_soft_limit": str(num_cpus - 1),
        # Processes that read the footers of Parquet files, started anew for each reading of a dataset; Ray's 32 are
        # for thousands of files in a bucket, and cost two cores three seconds a reading.
        "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "1",
        # Above four times this number Ray prints a warning, which a run on two cores always reaches.
        "RAY_worker_maximum_startup_concurrency": str(max(8, num_cpus)),
    }


class Pause(ExecutionCallback):
    """Let the loop that runs a dataset rest between its steps.

    While it holds tasks back because nobody takes their output, it spins: on half a core, and for trainings in
    process on their interpreter lock, which made them three times slower.
    """

    def on_execution_step(self, executor: Any) -> None:
        """Wait a moment; a step starts all tasks for which there is room."""
        time.sleep(PAUSE_SECONDS)


def set_up_data() -> None:
    """Settle how Ray Data runs in this process: rows keep their order, small blocks, pauses, no bars."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = MAX_BLOCK_BYTES
    context.custom_execution_callback_classes = [Pause]
    context.enable_progress_bars = False
    context.raise_original_map_exception = True  # a UserError in a worker stays one
    # A pool keeps its workers while one has work: a new one would have to load its model again.
    context.autoscaling_config.actor_pool_util_downscaling_threshold = 0.0


def pool(max_workers: int, num_gpus: float = 0.0) -> dict[str, Any]:
    """Give the arguments of `map_batches` for a pool of workers that holds a model, each with `num_gpus`.

    On a cluster of our own a worker takes one of CORES and no CPU. Workers in CPUs would wait until all readers and
    decoders of their stream are done: on two cores an hour of speech went through one worker, the second never came.
    And pools of two steps could take all CPUs, and wait for ever for readers.
    """
    compute = ray.data.ActorPoolStrategy(min_size=1, max_size=max_workers)
    room = {"num_cpus": 0, "resources": {CORES: 1}} if CORES in ray.cluster_resources() else {}
    return {"compute": compute, "num_gpus": num_gpus or None, **room}
