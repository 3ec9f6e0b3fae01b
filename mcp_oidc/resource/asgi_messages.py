"""ASGI messages: read, replayed, sent. Plain Python."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any

from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol import cors
from mcp_oidc.protocol.mcp_calls import MAX_BODY_BYTES

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Lines = list[tuple[bytes, bytes]]

# Where the app behind finds who calls, beside `get_principal`.
PRINCIPAL_KEY = "mcp_oidc.principal"
_VARY = (b"vary", b"Origin")


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request header, named in lower case. One sent twice is a list: no bearer token, no origin."""
    length = len(name)
    values = [value.decode("latin-1") for key, value in scope["headers"] if len(key) == length and key.lower() == name]
    return ",".join(values) if values else None


class Answer:
    """`send`, with lines of ours, and whether an answer has begun: after that no other can take its place."""

    def __init__(self, send: Send, lines: Lines) -> None:
        self._send = send
        self._lines = lines
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*self._without_doubles(message.get("headers", ())), *self._lines]}
        await self._send(message)

    def _without_doubles(self, theirs: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        # Ours are in the place of what the app itself may say: a browser refuses an answer that allows twice.
        ours = {name for name, _ in self._lines} - {b"vary"}
        return [line for line in theirs if line[0].lower() not in ours] if ours else theirs


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


def cors_lines(origin: str | None, origins: Collection[str], *, is_preflight: bool) -> Lines:
    """The headers that let a page of one of `origins` read the answer."""
    return [*_lines(cors.response_headers(origin, origins, is_preflight=is_preflight)), _VARY]


async def send_answer(status: int, headers: Mapping[str, str], body: bytes, send: Send) -> None:
    """Send a whole answer."""
    # RFC 9110 8.6: an answer without content has no length either.
    length = {"Content-Length": str(len(body))} if body else {}
    await send({"type": "http.response.start", "status": status, "headers": _lines({**headers, **length})})
    await send({"type": "http.response.body", "body": body})


def _lines(headers: Mapping[str, str]) -> Lines:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
