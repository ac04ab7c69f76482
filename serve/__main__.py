"""Serve a model folder on this machine: python -m serve runs/demo/model."""

import argparse
import signal
import socket
import threading

from ray import serve

from s2st.config import UserError
from serve.app import build
from stages.cluster import connect
from stages.run import stop_on_mistakes

HOST = "127.0.0.1"  # who wants more puts a proxy with passwords in front


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m serve", description="Serve a model over HTTP, on this machine.")
    parser.add_argument("model", nargs="?", default="runs/demo/model", help="model folder (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    parser.add_argument("--beam", type=int, default=5, help="width of the beam search (default: %(default)s)")
    arguments = parser.parse_args()
    application = build({"model": arguments.model, "beam": arguments.beam})
    check_port(arguments.port)
    print(f"loading {arguments.model} ...", flush=True)
    connect()
    serve.start(http_options={"host": HOST, "port": arguments.port})
    serve.run(application, name="s2st")
    address = f"http://{HOST}:{arguments.port}"
    print(f"ready at {address}; try: curl -F file=@in.wav '{address}/translate?to=LANG' -o out.wav", flush=True)
    wait_for_a_signal()
    serve.shutdown()


def wait_for_a_signal() -> None:
    """Return when the process is told to stop."""
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(1.0):  # without a limit, Windows would not notice Ctrl-C
        pass


def check_port(port: int) -> None:
    """Raise UserError if something listens at the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(f"cannot listen on port {port}: {error.strerror}; choose another with --port") from None


if __name__ == "__main__":
    stop_on_mistakes(main)
