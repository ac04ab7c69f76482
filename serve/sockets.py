"""How a WebSocket is opened, and how it is refused: with a sentence, which it can only hear once it is open."""

from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

PROTOCOL = "bearer"  # of a WebSocket that brings a key
BAD_REQUEST, ENDED = 1008, 1000  # codes of its end
CODES_OF_STATUSES = 4000  # 4401: what is 401 of HTTP


async def open_socket(socket: WebSocket) -> None:
    """Open a WebSocket, by the protocol that it offers if it brings a key."""
    offered = socket.headers.get("sec-websocket-protocol", "").split(",")[0].strip()
    await socket.accept(subprotocol=PROTOCOL if offered == PROTOCOL else None)


async def refuse(socket: WebSocket, reason: str, code: int = BAD_REQUEST) -> None:
    """Tell a caller why there is no conversation, or no more of it, and hang up."""
    with suppress(WebSocketDisconnect):  # who has hung up needs to hear nothing
        if socket.application_state is WebSocketState.CONNECTING:
            await open_socket(socket)
        await socket.send_json({"error": reason})
        await socket.close(code)
