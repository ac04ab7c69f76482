"""Serve model folders over HTTP: python -m serve runs/demo/model."""

import argparse
import logging
import os
import signal
import socket
import threading

import ray
from ray import serve

from s2st.config import UserError
from serve.app import build
from serve.settings import is_local, name_models
from stages.cluster import connect
from stages.run import stop_on_mistakes

NAME = "s2st"  # of the application
DIRECT_BYTES = 1_000_000  # 15 s of speech go from one replica to the next by themselves, not through Ray's object store


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m serve", description="Serve models over HTTP.")
    parser.add_argument("models", nargs="*", default=["runs/demo/model"], help="model folders (runs/demo/model)")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; others than this need --api-keys")
    parser.add_argument("--api-keys", metavar="FILE", help="file with one key a line; callers must show one of them")
    parser.add_argument("--beam", type=int, default=5, help="width of the beam search (default: %(default)s)")
    arguments = parser.parse_args()
    if not is_local(arguments.host) and not arguments.api_keys:
        raise UserError(f"--host {arguments.host} lets other machines call; give --api-keys FILE, with one key a line")
    settings = {"models": name_models(arguments.models), "beam": arguments.beam, "api_keys": arguments.api_keys}
    application = build(settings)
    check_port(arguments.host, arguments.port)
    print(f"loading {', '.join(arguments.models)} ...", flush=True)
    os.environ.setdefault("RAY_max_direct_call_object_size", str(DIRECT_BYTES))
    connect()
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(http_options={"host": arguments.host, "port": arguments.port})
    serve.run(application, name=NAME)
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    address = f"http://{host}:{arguments.port}"
    shown = "-H 'Authorization: Bearer KEY' " if arguments.api_keys else ""
    request = f"curl -f {shown}--data-binary @in.wav '{address}/v1/translate?to=LANG' -o out.wav"
    print(f"ready at {address}; try: {request}", flush=True)
    wait_for_a_signal()
    print("stopping ...", flush=True)
    serve.delete(NAME)
    if os.environ.get("RAY_ADDRESS") and not serve.status().applications:  # a cluster of our own ends with us
        serve.shutdown()
    ray.shutdown()
    print("stopped", flush=True)


def wait_for_a_signal() -> None:
    """Return when the process is told to stop."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(1.0):  # without a limit, Windows would not notice Ctrl-C
        pass


def check_port(host: str, port: int) -> None:
    """Raise UserError if something listens at the port already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(f"cannot listen on port {port}: {error.strerror}; choose another with --port") from None
        except OverflowError:
            raise UserError(f"--port {port} is no port; choose one from 1 to 65535") from None


if __name__ == "__main__":
    stop_on_mistakes(main)
