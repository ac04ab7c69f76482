import time

import pytest

from s2st.baselines.hosted_client import Client, Limits, Pace, ServiceError, check_url
from s2st.config import UserError

FAST = Limits(
    timeout_seconds=20, attempts=3, longest_wait_seconds=0.05, requests_per_minute=60_000, max_answer_bytes=100
)


@pytest.fixture
def client(keys):
    return Client(FAST, "OPENAI_API_KEY", "Authorization", "Bearer ")


def test_a_key_is_sent_in_its_header_alone(stand_in, client):
    stand_in.answer("/x", {"text": "yes"})
    assert client.post_for_json(f"{stand_in.url}/x", json={"q": 1}).text("text") == "yes"
    (asked,) = stand_in.asked
    assert asked.headers["Authorization"] == "Bearer openai_api_key"
    assert asked.json == {"q": 1}
    assert "openai_api_key" not in f"{asked.path}{asked.body}{vars(FAST)}{client!r}"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_do_better_is_asked_again(stand_in, client, status):
    stand_in.answer("/x", b"later", status, **{"Retry-After": "3600"})
    stand_in.answer("/x", b"later", status)
    stand_in.answer("/x", b"done")
    begin = time.monotonic()
    assert client.post(f"{stand_in.url}/x", body=b"a") == b"done"
    assert [asked.body for asked in stand_in.asked] == [b"a"] * 3
    assert time.monotonic() - begin < 60  # an hour was asked for, and longest_wait_seconds given


def test_retry_after_is_waited_for(stand_in, keys):
    stand_in.answer("/x", b"later", 429, **{"Retry-After": "1"})
    stand_in.answer("/x", b"done")
    patient = Client(Limits(attempts=2, longest_wait_seconds=5), "OPENAI_API_KEY", "Authorization")
    begin = time.monotonic()
    assert patient.post(f"{stand_in.url}/x", body=b"a") == b"done"
    assert time.monotonic() - begin > 0.9


def test_attempts_end(stand_in, client):
    stand_in.answer("/x", b"busy\nnow", 503)
    with pytest.raises(ServiceError, match=r"127\.0\.0\.1:\d+/x answered 503: busy now"):
        client.post(f"{stand_in.url}/x", body=b"a")
    assert len(stand_in.asked) == 3


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (401, b"no such key: openai_api_key", r"refused the key in OPENAI_API_KEY \(401\); check it"),
        (400, b"bad openai_api_key\x1b[31m", r"/x answered 400: bad \*\*\*\[31m"),
        (302, b"", "/x answered 302: "),
        (200, b"x" * 101, "answered with more than 100 bytes"),
        (200, b"<html>", "answered with something that is not JSON"),
        (200, b"[1]", "answered without a.0; is its address right"),
    ],
)
def test_answers_that_are_no_use_are_told_without_the_key(stand_in, client, status, answer, message):
    stand_in.answer("/x", answer, status, Location=f"{stand_in.url}/elsewhere")
    with pytest.raises(ServiceError, match=message) as caught:
        client.post_for_json(f"{stand_in.url}/x", body=b"").text("a", 0)
    assert "openai_api_key" not in str(caught.value)
    assert len(stand_in.asked) == 1
    stand_in.answer("/y", b"the next one")
    assert client.post(f"{stand_in.url}/y", body=b"") == b"the next one"


def test_a_service_that_does_not_answer_is_told(stand_in, client, free_port):
    with pytest.raises(ServiceError, match="gave no whole answer .NewConnectionError.; try again later"):
        client.post(f"http://127.0.0.1:{free_port()}/x", body=b"")
    stand_in.answer("/x", b"half", **{"Content-Length": "90"})
    hasty = Client(Limits(timeout_seconds=0.2), "OPENAI_API_KEY", "Authorization")
    with pytest.raises(ServiceError, match="gave no whole answer .ReadTimeoutError.; try again later"):
        hasty.post(f"{stand_in.url}/x", body=b"")


def test_keys_come_from_the_environment(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="no key in the environment; set the variable OPENAI_API_KEY"):
        Client(FAST, "OPENAI_API_KEY", "Authorization")
    monkeypatch.setenv("OPENAI_API_KEY", "secret\nX-Other: 1")
    with pytest.raises(UserError, match="OPENAI_API_KEY has characters that no key has") as caught:
        Client(FAST, "OPENAI_API_KEY", "Authorization")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "ftp://localhost", "https://", "https://me:key@example.org", "https://a.b/?key=c", "a"],
)
def test_addresses_that_would_tell_a_key_are_refused(url):
    with pytest.raises(ValueError):
        check_url(url)


def test_addresses_of_services_are_taken():
    for url in ("https://api.openai.com/v1", "http://localhost:8000", "http://127.0.0.1:1/v1", "http://[::1]:1"):
        check_url(url)


def test_requests_are_spread_over_time():
    pace = Pace(per_minute=1200)
    begin = time.monotonic()
    for _ in range(5):
        pace.wait()
    assert time.monotonic() - begin >= 4 * 60 / 1200


@pytest.mark.parametrize("changes", [{"attempts": 0}, {"requests_per_minute": 0}, {"longest_wait_seconds": -1}])
def test_limits_that_let_nothing_through_are_refused(changes):
    with pytest.raises(ValueError):
        Limits(**changes)
