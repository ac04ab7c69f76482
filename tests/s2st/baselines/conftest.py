"""A stand-in for hosted services on this machine: it answers as was recorded, and keeps what it was asked."""

import json
import threading
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass(frozen=True)
class Asked:
    """One request."""

    path: str
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class StandIn:
    """Answers each path with the answers that were given for it, in order; the last one again and again."""

    def __init__(self):
        self.asked, self.answers = [], {}
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                stand_in.asked.append(Asked(self.path, dict(self.headers), body))
                waiting = stand_in.answers[self.path.partition("?")[0]]
                status, headers, answer = waiting.popleft() if len(waiting) > 1 else waiting[0]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, path, value, status=200, **headers):
        """Answer a path, after what was told before, with bytes or with JSON."""
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.answers.setdefault(path, deque()).append((status, headers, data))


@pytest.fixture
def stand_in():
    """A service on a free port of this machine."""
    service = StandIn()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def keys(monkeypatch):
    """The keys of all services, in the environment; the value of each is its variable's name in small letters."""
    for name in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "AZURE_SPEECH_KEY", "AZURE_TRANSLATOR_KEY"):
        monkeypatch.setenv(name, name.lower())
