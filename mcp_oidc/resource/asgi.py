"""Protection of a mounted ASGI app, whatever it is made with. Pure ASGI.

    application = BearerMiddleware(app, "/mcp")

For an app of the `mcp` SDK take `mcp_oidc.resource.mcp_sdk.protect`, which also tells the SDK whose sessions are whose.
"""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import partial
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest

from mcp_oidc.conf import app_settings, configured_issuer, issuer_of
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol import cors
from mcp_oidc.resource.bearer import (
    REFUSABLE,
    Endpoint,
    Refusal,
    find_endpoint,
    recall_principal,
    refuse,
    require_origin,
    require_principal,
)
from mcp_oidc.resource.call_scopes import MAX_BODY_BYTES, require_scopes_of_body, require_scopes_of_head
from mcp_oidc.resource.context import acting_for
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.workers import verification_workers

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

# Where the app behind finds who calls, beside `mcp_oidc.resource.context.get_principal`.
PRINCIPAL_KEY = "mcp_oidc.principal"


class BearerMiddleware:
    """Lets only requests with a good access token for `resource` (a key of RESOURCES) through to `app`.

    `scopes` are needed besides the resource's own SCOPES, as a list or by method. The app finds the principal in
    `scope["mcp_oidc.principal"]` and by `get_principal()`. The database is asked in threads of our own. Refusals and
    CORS, preflights included, are answered here; a page of an origin that is not allowed gets a 403.
    """

    def __init__(self, app: ASGIApp, resource: str = "/mcp", *, scopes: Scopes = ()) -> None:
        self._app = app
        self._resource = resource
        self._needs = read_needs(scopes)

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
            endpoint = find_endpoint(self._resource, issuer=_issuer_of(scope), needs=self._needs)
        except SuspiciousOperation:
            await _send_refusal(_bad_host(), send)
            return
        endpoint = endpoint.at(scope["method"])
        watched = _WatchedSend(_with_cors(scope, endpoint, send))
        try:
            await self._admit(scope, receive, watched, endpoint)
        except REFUSABLE as error:
            if watched.has_begun:
                raise
            await _send_refusal(refuse(error, endpoint), watched)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        require_origin(header(scope, b"origin"), endpoint)
        if scope["method"] == "OPTIONS":
            await _send(204, {}, b"", send)
            return
        authorization = header(scope, b"authorization")
        principal = recall_principal(authorization, endpoint)
        if principal is None:
            principal = await verification_workers.run(partial(require_principal, authorization, endpoint))
        head = require_scopes_of_head(principal, endpoint, scope["method"], lambda name: header(scope, name.encode()))
        if head is not None:
            body = await _read_body(receive)
            require_scopes_of_body(principal, body, head, endpoint)
            receive = _replay(body, receive)
        with acting_for(principal):
            await self._app({**scope, PRINCIPAL_KEY: principal}, receive, send)


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a request header, named in lower case. One sent twice is a list: no bearer token, no origin."""
    length = len(name)
    values = [value.decode("latin-1") for key, value in scope["headers"] if len(key) == length and key.lower() == name]
    return ",".join(values) if values else None


class _WatchedSend:
    """`send`, and whether an answer has begun: after that no other can take its place."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        self.has_begun = True
        await self._send(message)


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


def _issuer_of(scope: Scope) -> str:
    if app_settings.ISSUER is not None:
        return configured_issuer()
    # While DEBUG, by Django's own rules for Host. The query has no say in it and need not even be UTF-8.
    return issuer_of(ASGIRequest({**scope, "query_string": b""}, io.BytesIO()))


def _with_cors(scope: Scope, endpoint: Endpoint, send: Send) -> Send:
    headers = cors.response_headers(
        header(scope, b"origin"), endpoint.origins, is_preflight=scope["method"] == "OPTIONS"
    )
    lines = [*_lines(headers), (b"vary", b"Origin")]
    # In the place of what the app itself may say: a browser refuses an answer that allows twice.
    replaced = {name for name, _ in lines} - {b"vary"}

    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in replaced]
            message = {**message, "headers": [*kept, *lines]}
        await send(message)

    return send_with_cors


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


def _lines(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
