"""The folder of a run: that every node reaches it is settled before a step costs anything."""

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path

import filelock
import pyarrow as pa
import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from s2st import storage
from s2st.config import UserError

LOCK = ".lock"  # in a local folder, held by the run that works there
PROBE = "_probe"  # in a bucket: written to see whether that is possible
PATIENCE = {"gs": "?retry_limit_seconds=20"}  # Google's client tries for a quarter of an hour
NO_BUCKET = ("not found", "NOT_FOUND", "NO_SUCH_BUCKET")
NO_RIGHTS = ("ACCESS_DENIED", "PERMISSION_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "access token")
ANSWER_SECONDS = 120  # within which every node starts a worker
OTHER = "choose another folder with run=..."


@contextlib.contextmanager
def alone(folder: str) -> Iterator[None]:
    """Keep a second run out of a local folder while this one works there; buckets have no locks.

    Raises UserError if another run is at work, or nothing can be written there.
    """
    with contextlib.ExitStack() as held:
        if "://" in folder:
            reach(folder)
        else:
            try:
                Path(folder).mkdir(parents=True, exist_ok=True)
                held.enter_context(filelock.FileLock(f"{folder}/{LOCK}", timeout=0))
            except filelock.Timeout:
                raise UserError(
                    f"another run is at work in {folder}; wait for its end, or choose another folder with run=..."
                ) from None
            except OSError as error:
                raise UserError(f"cannot write to {folder}: {error.strerror}; {OTHER}") from None
        yield


def reach(folder: str) -> None:
    """Raise UserError if this node cannot write to a bucket, or does not see the local folder of a run."""
    if "://" in folder:
        try:
            scheme = folder.partition("://")[0]
            system, path = storage.resolve(f"{folder}/{PROBE}{PATIENCE.get(scheme, '')}")
            system.create_dir(path.rpartition("/")[0], recursive=True)
            system.open_output_stream(path).close()
        except (OSError, pa.ArrowException) as error:
            raise UserError(_refusal(folder, str(error).partition("\n")[0])) from None
    elif not Path(folder, LOCK).exists():
        raise UserError(_elsewhere(folder, [platform.node()]))


def _refusal(folder: str, reason: str) -> str:
    """Say why a bucket takes nothing, from what its client says."""
    bucket = "/".join(folder.split("/")[:3])
    if any(word in reason for word in NO_BUCKET):
        return f"there is no bucket {bucket}, or its region is another; make it, or {OTHER}"
    if any(word in reason for word in NO_RIGHTS):
        return (
            f"no right to write to {folder} ({reason}); give this node a role or keys that may read, write and delete "
            f"there (docs/clusters.md), or {OTHER}"
        )
    return f"cannot write to {folder}: {reason}; {OTHER}"


@ray.remote(num_cpus=0)
def _is_there(path: str) -> bool:
    return os.path.exists(path)


def check_nodes(folder: str) -> None:
    """Raise UserError if a node of the cluster does not see the local folder of a run."""
    if "://" in folder:
        return
    nodes = [node for node in ray.nodes() if node["Alive"]]
    # soft: on a node that is lost meanwhile there is nothing to see
    places = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=True) for node in nodes]
    asked = [_is_there.options(scheduling_strategy=place).remote(f"{folder}/{LOCK}") for place in places]
    try:
        seen = ray.get(asked, timeout=ANSWER_SECONDS)
    except ray.exceptions.GetTimeoutError:
        raise UserError(
            f"a node of the cluster starts no worker within {ANSWER_SECONDS} s; look at its disk and memory"
        ) from None
    if blind := [node["NodeManagerAddress"] for node, sees in zip(nodes, seen, strict=True) if not sees]:
        raise UserError(_elsewhere(folder, blind))


def _elsewhere(folder: str, nodes: list[str]) -> str:
    return (
        f"{folder} is not there on {', '.join(nodes)}, and the nodes of a cluster share no disk; "
        f"choose a bucket with run=s3://..., or a folder that all of them mount"
    )
