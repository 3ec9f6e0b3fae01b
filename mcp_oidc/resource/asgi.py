"""Protection of a mounted ASGI app, whatever it is made with. Pure ASGI.

    application = BearerMiddleware(app, "/mcp")

For an app of the `mcp` SDK take `mcp_oidc.resource.mcp_sdk.protect`, which also tells the SDK whose sessions are whose.
"""

from __future__ import annotations

import io
import json

from django.conf import settings as django_settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.resource.asgi_messages import (
    PRINCIPAL_KEY,
    Answer,
    ASGIApp,
    Receive,
    Scope,
    Send,
    cors_lines,
    header,
    read_body,
    replay,
    send_answer,
)
from mcp_oidc.resource.bearer import (
    Endpoint,
    arequire_principal,
    find_endpoint,
    refuse,
    require_origin,
)
from mcp_oidc.resource.call_scopes import require_scopes_of_body, require_scopes_of_head
from mcp_oidc.resource.context import acting_for
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.refusals import REFUSABLE, Refusal


class BearerMiddleware:
    """Lets only requests with a good access token for `resource` (a key of RESOURCES) through to `app`.

    `scopes` are needed besides the resource's own SCOPES, as a list or by method. The app finds the principal in
    `scope["mcp_oidc.principal"]` and by `get_principal()`. The event loop waits for no database. Refusals and
    CORS, preflights included, are answered here; a page of an origin that is not allowed gets a 403.
    """

    def __init__(self, app: ASGIApp, resource: str = "/mcp", *, scopes: Scopes = ()) -> None:
        self._app = app
        self._resource = resource
        self._needs = read_needs(scopes)
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
            endpoint = self._find_endpoint(scope).at(scope["method"])
        except SuspiciousOperation:
            await _send_refusal(_bad_host(), send)
            return
        origin = header(scope, b"origin")
        answer = Answer(send, cors_lines(origin, endpoint.origins, is_preflight=scope["method"] == "OPTIONS"))
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
            return find_endpoint(self._resource, issuer=issuer, needs=self._needs)
        endpoint = find_endpoint(self._resource, issuer=app_settings.ISSUER, needs=self._needs)
        self._known = settings, endpoint
        return endpoint

    async def _admit(self, scope: Scope, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        if scope["method"] == "OPTIONS":
            await send_answer(204, {}, b"", send)
            return
        principal = await arequire_principal(header(scope, b"authorization"), endpoint)
        head = require_scopes_of_head(principal, endpoint, scope["method"], lambda name: header(scope, name.encode()))
        if head is not None:
            body = await read_body(receive)
            require_scopes_of_body(principal, body, head, endpoint)
            receive = replay(body, receive)
        with acting_for(principal):
            await self._app({**scope, PRINCIPAL_KEY: principal}, receive, send)


def _bad_host() -> Refusal:
    error = InvalidRequest("The Host header is not one of this server.")
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Refusal(400, headers, json.dumps(error.as_dict()).encode(), error.code)


async def _send_refusal(refusal: Refusal, send: Send) -> None:
    await send_answer(refusal.status, refusal.headers, refusal.body, send)
