import io
import sys
import threading
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import pytest
import soundfile

from benchmarks import serving, serving_steps
from benchmarks.server import Answer, ask_all, ask_at_rate, percentile


@pytest.fixture
def every_third_is_refused():
    """The address of a server that is busy for every third request."""
    numbers = count()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(503 if next(numbers) % 3 == 2 else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_all_are_asked_and_each_answer_counts(every_third_is_refused):
    answers, seconds = ask_all(every_third_is_refused, [b"a", b"b"], callers=3, count=12)
    assert sorted(answer.status for answer in answers) == [200] * 8 + [503] * 4
    assert max(answer.seconds for answer in answers) <= seconds
    assert 5 <= len(ask_at_rate(every_third_is_refused, [b"a"], rate=20, seconds=0.5)) <= 11


def test_percentiles_are_of_what_is_accepted():
    answers = [Answer(200, second) for second in range(101)] + [Answer(503, 999.0)]
    assert percentile(answers, 99) == 99
    assert percentile(answers, 50) == 50


def test_shares_and_overhead(monkeypatch, tmp_path):
    monkeypatch.setattr(
        serving, "ask_all", lambda address, wavs, callers, count: ([Answer(200, 0.5)] * count, count / callers)
    )
    monkeypatch.setattr(serving, "alone", lambda folder: nullcontext(lambda number: 0.48 - number))
    overloaded = [Answer(200, 1.0)] * 6 + [Answer(503, 0.0)] * 3 + [Answer(504, 0.0)]
    monkeypatch.setattr(serving, "ask_at_rate", lambda address, wavs, rate, seconds: overloaded)
    assert serving.overhead("", tmp_path, [b"a", b"b", b"c"], runs=3) == pytest.approx(1020)
    assert [serving.throughput("", [b"a"], callers, rounds=3) for callers in (1, 16)] == [1, 16]
    found = serving.overload("", [b"a"], 2.0, seconds=1)
    assert (found["p99"], found["refused"]) == (1, 0.3)
    assert found["failed"] == pytest.approx(0.1)


def test_the_models_alone_answer_one_number_after_another(tmp_path, monkeypatch):
    (tmp_path / "models.py").write_text("import sys\nfor line in sys.stdin: print(float(line) / 4, flush=True)")
    monkeypatch.setattr(serving, "module", lambda *_: [sys.executable, f"{tmp_path}/models.py"])
    with serving.alone(tmp_path) as translate:
        assert [translate(3), translate(1)] == [0.75, 0.25]


def test_models_of_the_demos_sizes_translate(tmp_path, monkeypatch):
    monkeypatch.setattr(serving_steps, "NUM_CLIPS", 1)
    monkeypatch.setattr(serving_steps, "BEAM", 1)
    serving_steps.make(str(tmp_path))
    ((waveform, wav),) = serving_steps.clips(str(tmp_path))
    assert serving_steps.SHORTEST <= len(waveform) / 16_000 <= serving_steps.LONGEST
    spoken, _ = soundfile.read(io.BytesIO(serving_steps.load(str(tmp_path))([wav])[0]))
    assert len(spoken)
