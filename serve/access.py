"""Who is answered, and how much may be sent: checked before a request is read."""

import hmac
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from serve.settings import is_local

OPEN_PATHS = ("/healthz", "/readyz")  # asked by whoever watches over the server
FORM_BYTES = 64 << 10  # of a form around its file


class Cors(CORSMiddleware):
    """Answers browsers for pages of the origins that the settings name; without any, for none but its own."""

    def __init__(self, app: ASGIApp, gateway: Any):
        super().__init__(app, allow_origins=(), allow_methods=("GET", "POST"), allow_headers=("Authorization",))
        self.gateway = gateway

    def is_allowed_origin(self, origin: str) -> bool:
        """Tell whether a page of this origin may call."""
        return origin in self.gateway.settings.cors_origins


class Guard:
    """Refuses callers without a key, or from other machines where no keys are set, and bodies that are too large."""

    def __init__(self, app: ASGIApp, gateway: Any):
        self.app, self.gateway = app, gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request or WebSocket."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in OPEN_PATHS:
            return await self.app(scope, receive, send)
        if refused := self._refusal(scope):
            answer = JSONResponse({"detail": refused[1]}, refused[0], headers={"WWW-Authenticate": "Bearer"})
            closed = WebSocketClose(4401, refused[1])
            return await (closed if scope["type"] == "websocket" else answer)(scope, receive, send)
        if scope["type"] == "http":
            receive = self._bounded(scope, receive)
        return await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Give the status and the reason for which a caller is refused, or None."""
        if not self.gateway.keys:
            host = (scope.get("client") or ("",))[0]
            outside = "this server answers callers on its own machine only; set api_keys to answer others"
            return None if is_local(host) else (403, outside)
        shown = shown_key(scope)
        # all keys are compared, each in constant time, so that the time tells nothing
        if not sum(hmac.compare_digest(shown, key) for key in self.gateway.keys):
            return 401, "an API key is needed: send the header Authorization: Bearer KEY"
        return None

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Count what comes, and raise HTTPException once it is too much."""
        limit = self.gateway.settings.max_bytes + FORM_BYTES
        too_large = HTTPException(
            413, f"the file is larger than {self.gateway.settings.max_bytes >> 20} MB; send a shorter recording"
        )
        promised = Headers(scope=scope).get("content-length", "")
        count = 0

        async def bounded() -> Message:
            nonlocal count
            if promised.isdigit() and int(promised) > limit:
                raise too_large
            message = await receive()
            count += len(message.get("body", b""))
            if count > limit:
                raise too_large
            return message

        return bounded


def shown_key(scope: Scope) -> bytes:
    """Give the key that a request shows: as a bearer; of a WebSocket, whose headers no page can set, as a protocol."""
    headers = Headers(scope=scope)
    kind, _, key = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return key.strip().encode()
    protocols = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    return protocols[1].encode() if len(protocols) > 1 and protocols[0] == "bearer" else b""
