import pytest
from ray.exceptions import ActorDiedError
from ray.serve.exceptions import BackPressureError

from s2st import audio
from s2st.baselines.hosted_client import ServiceError
from s2st.config import UserError
from serve.deployments import ModelLostError
from serve.graph import ReplicaLostError


@pytest.fixture
def speech(tone):
    return audio.encode(tone, "WAV")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("too long"), 422),
        (BackPressureError(num_queued_requests=1, max_queued_requests=1), 503),
        (ActorDiedError(), 503),
        (ReplicaLostError("died"), 503),
        (ModelLostError("changed"), 503),
        (ServiceError("down"), 502),
    ],
)
def test_an_error_has_its_status_and_one_sentence(error, status, quick_server, calling, speech):
    server = quick_server()
    server.graph.error = error
    answer = calling(server).post("/v1/translate?to=hi", content=speech)
    assert answer.status_code == status
    assert set(answer.json()) == {"detail"}
    assert ("retry-after" in answer.headers) == (status == 503)


def test_what_takes_too_long_is_given_up(quick_server, calling, speech):
    server = quick_server(timeout_seconds=0.2)
    server.graph.wait_seconds = 30.0
    answer = calling(server).post("/v1/translate?to=hi", content=speech)
    assert answer.status_code == 504
    assert server.graph.cancelled


def test_no_more_is_taken_on_than_can_be_done_in_time(quick_server, calling, speech):
    server = quick_server(max_waiting_seconds=1.5)
    client = calling(server)
    with server.load.take(1.0, 1.5):
        answer = client.post("/v1/translate?to=hi", content=speech)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
    assert client.post("/v1/translate?to=hi", content=speech).status_code == 200
    assert server.load.seconds == 0


def test_a_refusal_does_not_repeat_what_was_sent(quick_server, calling):
    answer = calling(quick_server()).post("/v1/speak", json={"units": ["secret"] * 10_000, "to": "hi"})
    assert answer.status_code == 422
    assert answer.json() == {"detail": "'units.0' in the body: should be a valid integer"}


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("to=hi&beam=many", "'beam' in the address: should be a valid integer"),
        ("to=hi&beam=0", "'beam' in the address: should be greater than or equal to 1"),
        (f"to={'x' * 99}", "'to' in the address: string should have at most 64 characters"),
        ("to=hi&beam=1&beam=2", "the parameter 'beam' comes twice in the address; give it once"),
    ],
)
def test_a_wrong_value_is_told_by_its_name(address, told, quick_server, calling, speech):
    answer = calling(quick_server()).post(f"/v1/translate?{address}", content=speech)
    assert (answer.status_code, answer.json()) == (422, {"detail": told})


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"units": [1', "the body is not valid JSON; correct it and send it again"),
        (b"", "send a JSON object, with the header Content-Type: application/json"),
        (b"[]", "send a JSON object, with the header Content-Type: application/json"),
        (b'{"to": "hi"}', "'units' is missing in the body"),
    ],
)
def test_a_wrong_body_is_told(body, told, quick_server, calling):
    server = calling(quick_server())
    answer = server.post("/v1/speak", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"detail": told})


def test_not_ready_while_a_model_is_lost(quick_server, calling):
    server = quick_server()
    server.graph.error = UserError("a folder with a secret name")
    answer = calling(server).get("/readyz")
    assert answer.status_code == 503
    assert "secret" not in answer.text


def test_the_interface_describes_itself(quick_server, calling):
    described = calling(quick_server()).get("/openapi.json").json()
    asked = {path: methods for path, methods in described["paths"].items() if path.startswith("/v1/")}
    assert {"/v1/translate", "/v1/units", "/v1/speak", "/v1/models"} <= set(asked)
    for path, methods in asked.items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            for parameter in operation.get("parameters", ()):
                assert parameter["description"], (path, parameter["name"])
                assert "example" in str(parameter), (path, parameter["name"])
            for status in (413, 415, 503, 504) if "requestBody" in operation else ():
                assert str(status) in operation["responses"], (path, status)
    references = set(str(described).split("'#/components/schemas/")[1:])
    assert {reference.partition("'")[0] for reference in references} <= set(described["components"]["schemas"])


def test_a_body_that_is_not_said_to_be_json_is_told(quick_server, calling):
    answer = calling(quick_server()).post("/v1/speak", content=b'{"units": [1], "to": "hi"}')
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_a_recording_that_is_too_long_is_told_of_streams(quick_server, calling, speech):
    answer = calling(quick_server(max_seconds=0.5)).post("/v1/translate?to=hi", content=speech)
    assert answer.status_code == 415
    assert "stream=true" in answer.json()["detail"]
