"""ASGI messages: read, replayed, sent. Plain Python."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from typing import Any

from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol import cors
from mcp_oidc.protocol.mcp_calls import MAX_BODY_BYTES

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where the app behind finds who calls, beside `get_principal`.
PRINCIPAL_KEY = "mcp_oidc.principal"


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request header, named in lower case. One sent twice is a list: no bearer token, no origin."""
    length = len(name)
    values = [value.decode("latin-1") for key, value in scope["headers"] if len(key) == length and key.lower() == name]
    return ",".join(values) if values else None


class WatchedSend:
    """`send`, and whether an answer has begun: after that no other can take its place."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request. Raises `InvalidRequest` where it is too large, or its end is missing."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("The request ended early.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise InvalidRequest("The request is too large.")
        if not message.get("more_body", False):
            return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """`receive` for an app behind, after the body has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def with_cors(scope: Scope, origins: Collection[str], send: Send) -> Send:
    """`send` with the headers that let a page of one of `origins` read the answer."""
    headers = cors.response_headers(header(scope, b"origin"), origins, is_preflight=scope["method"] == "OPTIONS")
    lines = [*_lines(headers), (b"vary", b"Origin")]
    # In the place of what the app itself may say: a browser refuses an answer that allows twice.
    replaced = {name for name, _ in lines} - {b"vary"}

    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in replaced]
            message = {**message, "headers": [*kept, *lines]}
        await send(message)

    return send_with_cors


async def send_answer(status: int, headers: Mapping[str, str], body: bytes, send: Send) -> None:
    """Send a whole answer."""
    # RFC 9110 8.6: an answer without content has no length either.
    length = {"Content-Length": str(len(body))} if body else {}
    await send({"type": "http.response.start", "status": status, "headers": _lines({**headers, **length})})
    await send({"type": "http.response.body", "body": body})


def _lines(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
