"""Protection of a mounted ASGI app, whatever it is made with. Pure ASGI.

    application = BearerMiddleware(app, "/mcp")

For an app of the `mcp` SDK take `mcp_oidc.resource.mcp_sdk.protect`, which also tells the SDK whose sessions are whose.
"""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol import cors
from mcp_oidc.resource.bearer import (
    REFUSABLE,
    Endpoint,
    Refusal,
    arequire_principal,
    find_endpoint,
    refuse,
    require_origin,
)
from mcp_oidc.resource.context import acting_for
from mcp_oidc.resource.tool_scopes import MAX_BODY_BYTES, is_tool_scoped, require_tool_scopes

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Lines = list[tuple[bytes, bytes]]

# Where the app behind finds who calls, beside `mcp_oidc.resource.context.get_principal`.
PRINCIPAL_KEY = "mcp_oidc.principal"
_VARY = (b"vary", b"Origin")


class BearerMiddleware:
    """Lets only requests with a good access token for `resource` (a key of RESOURCES) through to `app`.

    `scopes` are needed besides the resource's own SCOPES. The app finds the principal in
    `scope["mcp_oidc.principal"]` and by `get_principal()`. The database is asked in threads of our own. Refusals and
    CORS, preflights included, are answered here; a page of an origin that is not allowed gets a 403.
    """

    def __init__(self, app: ASGIApp, resource: str = "/mcp", *, scopes: Collection[str] = ()) -> None:
        self._app = app
        self._resource = resource
        self._scopes = tuple(scopes)
        # With the settings that it was made of.
        self._known: tuple[object, Endpoint] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # MCP has no such transport, and a browser cannot send a token with it.
            await send({"type": "websocket.close", "code": 1008, "reason": "WebSockets are not served here."})
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            raise ValueError(f"The ASGI scope {scope['type']!r} is not one that can be protected.")

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            endpoint = self._find_endpoint(scope)
        except SuspiciousOperation:
            await _send_refusal(_bad_host(), send)
            return
        origin = header(scope, b"origin")
        answer = _Answer(send, _cors_lines(origin, endpoint, is_preflight=scope["method"] == "OPTIONS"))
        try:
            require_origin(origin, endpoint)
            await self._admit(scope, receive, answer, endpoint)
        except REFUSABLE as error:
            if answer.has_begun:
                raise
            await _send_refusal(refuse(error, endpoint), answer)

    def _find_endpoint(self, scope: Scope) -> Endpoint:
        settings = getattr(django_settings, "MCP_OIDC", None)
        if self._known is not None and self._known[0] is settings:
            return self._known[1]
        if app_settings.ISSUER is None:
            # While DEBUG, by Django's own rules for Host. The query has no say in it and need not even be UTF-8.
            issuer = issuer_of(ASGIRequest({**scope, "query_string": b""}, io.BytesIO()))
            return find_endpoint(self._resource, issuer=issuer, scopes=self._scopes)
        endpoint = find_endpoint(self._resource, issuer=app_settings.ISSUER, scopes=self._scopes)
        self._known = settings, endpoint
        return endpoint

    async def _admit(self, scope: Scope, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        if scope["method"] == "OPTIONS":
            await _send(204, {}, b"", send)
            return
        principal = await arequire_principal(header(scope, b"authorization"), endpoint)
        if is_tool_scoped(endpoint, scope["method"]):
            body = await _read_body(receive)
            require_tool_scopes(principal, body, endpoint)
            receive = _replay(body, receive)
        with acting_for(principal):
            await self._app({**scope, PRINCIPAL_KEY: principal}, receive, send)


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request header, named in lower case. One sent twice is a list: no bearer token, no origin."""
    length = len(name)
    values = [value.decode("latin-1") for key, value in scope["headers"] if len(key) == length and key.lower() == name]
    return ",".join(values) if values else None


class _Answer:
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


async def _read_body(receive: Receive) -> bytes:
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


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def _cors_lines(origin: str | None, endpoint: Endpoint, *, is_preflight: bool) -> Lines:
    return [*_lines(cors.response_headers(origin, endpoint.origins, is_preflight=is_preflight)), _VARY]


def _bad_host() -> Refusal:
    body = json.dumps(InvalidRequest("The Host header is not one of this server.").as_dict()).encode()
    return Refusal(400, {"Content-Type": "application/json", "Cache-Control": "no-store"}, body)


async def _send_refusal(refusal: Refusal, send: Send) -> None:
    await _send(refusal.status, refusal.headers, refusal.body, send)


async def _send(status: int, headers: Mapping[str, str], body: bytes, send: Send) -> None:
    # RFC 9110 8.6: an answer without content has no length either.
    length = {"Content-Length": str(len(body))} if body else {}
    await send({"type": "http.response.start", "status": status, "headers": _lines({**headers, **length})})
    await send({"type": "http.response.body", "body": body})


def _lines(headers: Mapping[str, str]) -> Lines:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
