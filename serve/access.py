"""Who is answered, and how much may be sent: checked before a request is read."""

import asyncio
import hmac
import time
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, QueryParams
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from serve.settings import is_local
from serve.sockets import CODES_OF_STATUSES, PROTOCOL, refuse

OPEN_PATHS = ("/", "/healthz", "/readyz")  # the page, which asks for a key, and what watchers over the server ask
OPEN_FOLDER = "/page/"  # its files
FORM_BYTES = 64 << 10  # of a form around its file
LONG_FACTOR = 10  # times the time of others have the bodies of long recordings


class Cors(CORSMiddleware):
    """Answers browsers for pages of the origins that the settings name; without any, for none but its own."""

    def __init__(self, app: ASGIApp, gateway: Any):
        super().__init__(app, allow_origins=(), allow_methods=("GET", "POST"), allow_headers=("Authorization",))
        self.gateway = gateway

    def is_allowed_origin(self, origin: str) -> bool:
        """Tell whether a page of this origin may call."""
        return origin in self.gateway.settings.cors_origins


class Guard:
    """Refuses callers without a key, or from other machines where no keys are set, and bodies too large or too slow."""

    def __init__(self, app: ASGIApp, gateway: Any):
        self.app, self.gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket") or is_open(scope["path"]):
            return await self.app(scope, receive, send)
        if refused := self._refusal(scope):
            if scope["type"] == "websocket":
                socket = WebSocket(scope, receive, send)
                return await refuse(socket, refused[1], CODES_OF_STATUSES + refused[0])
            answer = JSONResponse({"detail": refused[1]}, refused[0], headers={"WWW-Authenticate": "Bearer"})
            return await answer(scope, receive, send)
        if scope["type"] == "http":
            receive = self._in_time(scope, self._bounded(scope, receive))
        return await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Give the status and the reason for which a caller is refused, or None."""
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        own = origin is not None and origin.partition("://")[2] == host
        # browsers ask nobody before a page opens a WebSocket to another origin, or posts a form to it
        if origin is not None and not own and origin not in self.gateway.settings.cors_origins:
            return 403, "pages of other origins may not call; name them in cors_origins"
        if not self.gateway.keys:
            caller = (scope.get("client") or ("",))[0]
            outside = "this server answers callers on its own machine only; set api_keys to answer others"
            # The name must be local, too: behind a proxy, or a page's name that is made to lead here, the caller is.
            return None if is_local(caller) and is_local(host_name(host)) else (403, outside)
        shown = shown_key(headers)
        # all keys are compared, each in constant time, so that the time tells nothing
        if not sum(hmac.compare_digest(shown, key) for key in self.gateway.keys):
            wrong = "this API key is not one of the server's" if shown else "an API key is needed"
            return 401, f"{wrong}: send the header Authorization: Bearer KEY"
        return None

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Count what comes, and raise HTTPException once it is too much."""
        settings = self.gateway.settings
        most = settings.max_stream_bytes if wants_stream(scope) else settings.max_bytes
        limit = most + FORM_BYTES
        too_large = HTTPException(413, f"the file is larger than {most >> 20} MB; send a shorter recording")
        promised = Headers(scope=scope).get("content-length", "")
        count = 0

        async def bounded() -> Message:
            nonlocal count
            if promised.isdecimal() and float(promised) > limit:
                raise too_large
            message = await receive()
            count += len(message.get("body", b""))
            if count > limit:
                raise too_large
            return message

        return bounded

    def _in_time(self, scope: Scope, receive: Receive) -> Receive:
        """Raise HTTPException where a body is not there in the time that an answer may take, or LONG_FACTOR times."""
        factor = LONG_FACTOR if wants_stream(scope) else 1
        end = time.monotonic() + factor * self.gateway.settings.timeout_seconds
        complete = False

        async def in_time() -> Message:
            nonlocal complete
            if complete:  # what follows tells that the caller has gone, which has no limit
                return await receive()
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the body took too long to come; send it faster, or less") from None
            complete = not message.get("more_body", False)
            return message

        return in_time


def wants_stream(scope: Scope) -> bool:
    """Tell whether a request is one that may bring a long recording, by its query."""
    asked = QueryParams(scope["query_string"]).get("stream", "")
    return scope["path"] == "/v1/translate" and asked.lower() in ("true", "1", "yes", "on", "t", "y")


def host_name(host: str) -> str:
    """Give the name or address of a header Host, without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets that hold no address
        return ""


def is_open(path: str) -> bool:
    """Tell whether everybody may ask for a path."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDER)


def shown_key(headers: Headers) -> bytes:
    """Give the key that a request shows: as a bearer; of a WebSocket, whose headers no page can set, as a protocol."""
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip().encode("latin-1")
    protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    return protocols[1].encode("latin-1") if len(protocols) > 1 and protocols[0] == PROTOCOL else b""
