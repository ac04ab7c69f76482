import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks import streaming, streaming_steps
from s2st import audio
from s2st.translator import Translator


@pytest.fixture
def slow_speaker():
    """The address of a server whose sound begins a quarter of the way."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            for seconds, part in ((0.0, bytes(streaming.HEADER_BYTES)), (0.2, b"sound"), (0.6, b"more")):
                time.sleep(seconds)
                self.wfile.write(part)
                self.wfile.flush()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_header_is_no_sound(slow_speaker):
    assert 0.1 < streaming.first_byte(slow_speaker, b"speech") < 0.6


def test_the_models_talk_in_parts(tmp_path):
    streaming_steps.make(str(tmp_path), 3)
    assert len(audio.decode((tmp_path / streaming_steps.SOURCE).read_bytes())) == 3 * audio.SAMPLE_RATE
    assert Translator.load(str(tmp_path)).translator.config.merges
    times = streaming_steps.alone(str(tmp_path), beam=1, runs=1)
    assert times["first"][0] < times["last"][0]
