"""HTTP to a hosted service: its key, time-outs, retries with back-off, a rate limit, and answers of bounded size.

The key comes from an environment variable; it goes into one header, and into no setting, message or log.
"""

import base64
import binascii
import json
import os
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3

from s2st.config import UserError

AGAIN = (429, 500, 502, 503, 504)  # statuses after which the same request may do better
REFUSED = (401, 403)
CONNECT_SECONDS = 10.0
TOLD = 200  # characters of a service's own message that are told on
KEY_VARIABLE = re.compile(r"(OPENAI|GOOGLE|AZURE|S2ST)_[A-Z0-9_]*KEY")
LOCAL = ("localhost", "127.0.0.1", "::1")


class ServiceError(UserError):
    """A hosted service did not do what it was asked; the message says which, and what it answered."""


@dataclass(frozen=True)
class Limits:
    timeout_seconds: float = 60.0  # that a service may be silent
    attempts: int = 5  # of a request that is answered 429 or 5xx, or not at all; the waits between them double
    longest_wait_seconds: float = 60.0  # between attempts, even where the service asks for more (Retry-After)
    requests_per_minute: float = 60.0  # that are begun, with each key; attempts of one request count once
    max_answer_bytes: int = 32 << 20

    def __post_init__(self) -> None:
        above_zero = (self.timeout_seconds, self.requests_per_minute, self.max_answer_bytes)
        if self.attempts < 1 or not all(number > 0 for number in above_zero):  # nor NaN
            raise ValueError("timeout_seconds, attempts, requests_per_minute and max_answer_bytes must be above 0")
        if self.longest_wait_seconds < 0:
            raise ValueError(f"longest_wait_seconds={self.longest_wait_seconds} must not be negative")


def check_url(url: str) -> None:
    """Raise ValueError unless an address is https, or http on this machine."""
    parts = urlsplit(url)
    _ = parts.port  # raises ValueError where it is none
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)):
        raise ValueError(f"'{url}' would carry a key in the open; give an https:// address")
    if url.endswith("/") or any(c.isspace() for c in url):
        raise ValueError(f"'{url}' is no address of a service; write it as https://host/path")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("an address has host and path only; keys belong into the environment")


class Pace:
    """Spreads the requests of all threads evenly over time."""

    def __init__(self, per_minute: float) -> None:
        self.interval, self.next, self.lock = 60 / per_minute, 0.0, threading.Lock()

    def wait(self) -> None:
        """Sleep until it is this request's turn."""
        with self.lock:
            turn = max(self.next, time.monotonic())
            self.next = turn + self.interval
        time.sleep(max(0.0, turn - time.monotonic()))


class Client:
    """Sends requests with one key; safe for threads."""

    def __init__(self, limits: Limits, key_variable: str, header: str, prefix: str = "") -> None:
        """Take the key from the environment, to be sent as `header`; raises UserError if it is not there."""
        self.limits, self.key_variable, self.header, self.prefix = limits, key_variable, header, prefix
        self._key = _read_key(key_variable)
        self.pace = Pace(limits.requests_per_minute)
        retries = urllib3.Retry(
            total=limits.attempts - 1,
            redirect=0,
            allowed_methods=None,  # POST too
            status_forcelist=AGAIN,
            backoff_factor=0.5,
            backoff_jitter=0.25,
            backoff_max=limits.longest_wait_seconds,
            retry_after_max=limits.longest_wait_seconds,  # type: ignore[arg-type]
            raise_on_status=False,
        )
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=limits.timeout_seconds)
        self.pool = urllib3.PoolManager(retries=retries, timeout=timeout, maxsize=8, headers={"User-Agent": "s2st"})

    def post(self, url: str, *, headers: Mapping[str, str] | None = None, **content: Any) -> bytes:
        """Send a POST with content as urllib3 takes it (`json`, `body` or `fields`), and give the answer's body.

        Raises ServiceError for an answer that is no success, or too large, and for none.
        """
        self.pace.wait()
        sent = {**self.pool.headers, **(headers or {}), self.header: self.prefix + self._key}
        host = urlsplit(url).netloc
        try:
            # Redirects would take the key elsewhere.
            response = self.pool.request("POST", url, headers=sent, redirect=False, preload_content=False, **content)
            body = response.read(self.limits.max_answer_bytes + 1, decode_content=False)
            if len(body) <= self.limits.max_answer_bytes:
                response.read(1, decode_content=False)  # raises for a body that is cut short
        except urllib3.exceptions.HTTPError as error:
            reason = getattr(error, "reason", None) or error
            raise ServiceError(f"{host} gave no whole answer ({type(reason).__name__}); try again later") from None
        if len(body) > self.limits.max_answer_bytes:
            response.close()
            raise ServiceError(f"{host} answered with more than {self.limits.max_answer_bytes} bytes")
        response.release_conn()
        if response.status in REFUSED:
            raise ServiceError(f"{host} refused the key in {self.key_variable} ({response.status}); check it")
        if not 200 <= response.status < 300:
            raise ServiceError(f"{host}{urlsplit(url).path} answered {response.status}: {self._told(body)}")
        return body

    def post_for_json(self, url: str, **content: Any) -> "Answer":
        """Send a POST as `post` does, and read the answer as JSON."""
        body = self.post(url, **content)
        try:
            return Answer(urlsplit(url).netloc, json.loads(body))
        except ValueError:
            raise ServiceError(f"{urlsplit(url).netloc} answered with something that is not JSON") from None

    def _told(self, body: bytes) -> str:
        """Give the begin of a service's own message on one line; should it hold the key, the key is left out."""
        text = body[: 10 * TOLD].decode(errors="replace").replace(self._key, "***")
        return "".join(c for c in " ".join(text.split()) if c.isprintable())[:TOLD]


@dataclass(frozen=True)
class Answer:
    """What a service answered, as JSON."""

    host: str
    value: Any

    def text(self, *path: str | int) -> str:
        """Give the text at a path of keys and places; raises ServiceError if there is none."""
        found = self.value
        try:
            for step in path:
                found = found[step]
        except (LookupError, TypeError):
            found = None
        if not isinstance(found, str):
            raise ServiceError(f"{self.host} answered without {'.'.join(map(str, path))}; is its address right?")
        return found

    def data(self, *path: str | int) -> bytes:
        """Give the bytes that are at a path in base64."""
        try:
            return base64.b64decode(self.text(*path), validate=True)
        except binascii.Error:
            raise ServiceError(f"{self.host} answered with {'.'.join(map(str, path))} that is not base64") from None


def _read_key(variable: str) -> str:
    if not KEY_VARIABLE.fullmatch(variable):  # a model folder from elsewhere could name any secret
        raise UserError(f"{variable} is no variable of a service's key; name it like S2ST_MY_KEY")
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"there is no key in the environment; set the variable {variable} to that of your account")
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"the key in the environment variable {variable} has characters that no key has; set it again")
    return key
