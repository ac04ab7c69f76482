import asyncio
import time

import pytest
from starlette.websockets import WebSocketDisconnect

from s2st import audio

KEYS = (b"first", b"second")


@pytest.fixture
def speech(tone):
    return audio.encode(tone, "WAV")


@pytest.mark.parametrize(
    ("shown", "status"),
    [("Bearer first", 200), ("bearer second", 200), ("Bearer third", 401), ("Basic first", 401), (None, 401)],
)
def test_with_keys_only_who_shows_one_is_answered(shown, status, quick_server, calling, speech):
    client = calling(quick_server(KEYS), client=("192.0.2.1", 1), host="example.org")
    headers = {} if shown is None else {"Authorization": shown}
    answer = client.post("/v1/translate?to=hi", content=speech, headers=headers)
    assert answer.status_code == status
    assert (answer.headers.get("www-authenticate") == "Bearer") == (status == 401)


@pytest.mark.parametrize(
    ("client", "host", "status"),
    [
        ("127.0.0.1", "127.0.0.1:8000", 200),
        ("::1", "[::1]:8000", 200),
        ("127.0.0.1", "localhost", 200),
        ("192.0.2.1", "127.0.0.1", 403),
        ("127.0.0.1", "rebound.example.org", 403),  # a name that is made to lead to this machine, or a proxy on it
        ("127.0.0.1", "[", 403),
        ("127.0.0.1", "[x]", 403),
    ],
)
def test_without_keys_only_this_machine_is_answered(client, host, status, quick_server, calling):
    client = calling(quick_server(), client=(client, 1))
    assert client.get("/v1/models", headers={"Host": host}).status_code == status
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


def test_pages_of_other_origins_may_call_only_where_the_settings_name_them(quick_server, calling):
    other = {"Origin": "https://other.example.org"}
    wanted = {**other, "Access-Control-Request-Method": "POST"}
    closed, opened = (calling(quick_server(cors_origins=origins)) for origins in ((), (other["Origin"],)))
    assert closed.options("/v1/translate", headers=wanted).status_code == 400
    assert closed.get("/v1/models", headers=other).status_code == 403
    assert "access-control-allow-origin" not in closed.get("/healthz", headers=other).headers
    assert closed.get("/v1/models", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200
    assert opened.options("/v1/translate", headers=wanted).status_code == 200
    assert opened.get("/v1/models", headers=other).headers["access-control-allow-origin"] == other["Origin"]


@pytest.mark.parametrize(
    ("headers", "told", "code"),
    [
        ({"Origin": "https://other.example.org", "Authorization": "Bearer first"}, "other origins", 4403),
        ({"Authorization": "Bearer third"}, "not one of", 4401),
        ({}, "is needed", 4401),
    ],
)
def test_a_websocket_that_is_refused_hears_why(headers, told, code, quick_server, calling):
    client = calling(quick_server(KEYS))
    with client.websocket_connect("ws://127.0.0.1:8000/v1/live?to=hi", headers=headers) as socket:
        assert told in socket.receive_json()["error"]
        with pytest.raises(WebSocketDisconnect) as refused:
            socket.receive_json()
    assert refused.value.code == code


def test_a_wrong_key_and_none_are_told_apart(quick_server, calling):
    client = calling(quick_server(KEYS))
    assert "is needed" in client.get("/v1/models").json()["detail"]
    assert "not one of" in client.get("/v1/models", headers={"Authorization": "Bearer x"}).json()["detail"]


@pytest.mark.parametrize("length", ["\u00b2", "-1", "9" * 5_000])
def test_a_length_that_is_none_does_no_harm(length, quick_server, calling, speech):
    headers = {"Content-Length": length.encode("latin-1")}
    answer = calling(quick_server()).post("/v1/translate?to=hi", content=speech, headers=headers)
    assert answer.status_code in (200, 413)


def test_a_body_that_comes_too_slowly_is_refused(quick_server, speech):
    from serve.routes import create_app

    messages, sent = [], {"type": "http.request", "body": b"R", "more_body": True}

    async def receive():
        await asyncio.sleep(0.05)
        return sent

    async def send(message):
        messages.append(message)

    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "POST", "path": "/v1/translate", "query_string": b"to=hi", "headers": headers}
    app = create_app(quick_server(timeout_seconds=0.3))
    start = time.monotonic()
    asyncio.run(app({**scope, "client": ("127.0.0.1", 1)}, receive, send))
    assert messages[0]["status"] == 408
    assert time.monotonic() - start < 5
