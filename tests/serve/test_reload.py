"""Several models of different kinds behind one graph, whose settings change while it runs."""

import os
import socket
import time

import httpx
import pytest

from benchmarks.server import replicas
from s2st import audio


def until(holds, seconds=120.0):
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("it never came to hold")


@pytest.fixture(scope="module")
def deploy(local_ray, tiny_model, free_port):
    """A function that deploys settings, as `serve deploy` does with a file; it gives the port."""
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    port = free_port()
    serve.start(http_options={"host": "0.0.0.0", "port": port})

    def deploy(settings):
        gateway = {"name": "Gateway", "user_config": settings}
        application = {"name": "s2st", "route_prefix": "/", "import_path": "serve.app:build"}
        application |= {"args": {"model": tiny_model}, "deployments": [gateway]}
        _get_global_client().deploy_apps(ServeDeploySchema(applications=[application]), _blocking=False)
        return port

    yield deploy
    serve.shutdown()


def test_models_and_settings_change_while_the_replicas_stay(deploy, tiny_model, tiny_direct_models, tone):
    models = {"parts": tiny_model, **tiny_direct_models}
    port = deploy({"models": models, "beam": 1})
    address = f"http://127.0.0.1:{port}"

    def known():
        return httpx.get(f"{address}/v1/models", timeout=60).raise_for_status().json()

    until(lambda: [model["name"] for model in known()["models"]] == list(models))
    check_each_model(address, models, audio.encode(tone, "WAV"))
    check_other_machines_are_refused(port)
    before = deployed()

    deploy({"models": {"renamed": tiny_model}, "beam": 1, "max_seconds": 0.5})
    until(lambda: known()["models"][0]["name"] == "renamed")
    answer = httpx.post(f"{address}/v1/translate?to=hi", content=audio.encode(tone, "WAV"), timeout=60)
    assert answer.status_code == 415
    assert "longer than 0.5 s" in answer.text or "longer than 0 s" in answer.text

    for wrong, reason in (({"models": {"other": "/nowhere"}}, "there is no model in"), ({"beam": 99}, "beam 99")):
        deploy({"models": {"renamed": tiny_model}, **wrong})
        until(lambda reason=reason: reason in (known()["refused"] or ""))
        assert [model["name"] for model in known()["models"]] == ["renamed"]
    deploy({"models": {"again": tiny_model}})
    until(lambda: known()["models"][0]["name"] == "again")
    assert known()["refused"] is None
    assert before <= deployed()


def deployed():
    """Give the process and the deployment of each replica, less those that go while nobody asks for them."""
    found = replicas(os.getpid())
    return {(pid, name) for pid, (name, _) in found.items() if name != "WholeTranslator"}


def check_each_model(address, models, speech):
    for name in models:
        query = {"to": "hi", "from": "en", "model": name}
        answer = httpx.post(
            f"{address}/v1/translate", params=query, content=speech, headers={"Accept": "application/json"}, timeout=60
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"] == name
        assert bool(answer.json()["source_units"]) == (name == "parts")
        voiced = httpx.post(f"{address}/v1/translate", params={**query, "voice": "a"}, content=speech, timeout=60)
        assert voiced.status_code == (200 if name == "parts" else 422)


def check_other_machines_are_refused(port):
    """A call to an address that others can reach comes from one, and says so through Serve's proxy."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but finds the way out
        except OSError:
            return  # this machine has no network
        outside = probe.getsockname()[0]
    if not outside.startswith("127."):
        answer = httpx.get(f"http://{outside}:{port}/v1/models", headers={"Host": "127.0.0.1"}, timeout=60)
        assert answer.status_code == 403
