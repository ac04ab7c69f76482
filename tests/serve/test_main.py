import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from s2st import audio
from s2st.config import UserError
from serve.__main__ import check_port
from serve.deployments import SpeechEncoder, UnitTranslator, UnitVocoder, WholeTranslator
from serve.gateway import Gateway

ROOT = Path(__file__).parents[2]


def start(*arguments):
    command = [sys.executable, "-m", "serve", *map(str, arguments)]
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_graph_fits_on_one_core():
    deployments = (Gateway, SpeechEncoder, UnitTranslator, UnitVocoder, WholeTranslator)
    assert sum(deployment.ray_actor_options["num_cpus"] for deployment in deployments) <= 1


def test_the_command_serves_until_it_is_told_to_stop(tiny_model, tone, free_port):
    port = free_port()
    server = start(tiny_model, "--port", port)
    try:
        lines = iter(server.stdout.readline, "")
        assert any(line.startswith(f"ready at http://127.0.0.1:{port}") for line in lines), server.stderr.read()
        files = {"file": ("speech.wav", audio.encode(tone, "WAV"))}
        answer = httpx.post(f"http://127.0.0.1:{port}/v1/translate?to=hi", files=files, timeout=60)
        assert answer.status_code == 200, answer.text
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
    finally:
        server.kill()


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    server = start(tmp_path / "nowhere")
    _, told = server.communicate(timeout=60)
    assert server.returncode == 2
    assert told.startswith("error: there is no model in ")
    assert told.count("\n") == 1


def test_a_port_in_use_is_told():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UserError, match="cannot listen on port .*--port"):
            check_port("127.0.0.1", taken.getsockname()[1])
