"""Protection of a mounted ASGI app, whatever it is made with. Pure ASGI.

    application = BearerMiddleware(app, "/mcp")

For an app of the `mcp` SDK take `mcp_oidc.resource.mcp_sdk.protect`, which also tells the SDK whose sessions are whose.
"""

from __future__ import annotations

import io
import json
from functools import partial

from django.core.exceptions import SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest

from mcp_oidc.conf import app_settings, configured_issuer, issuer_of
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.resource.asgi_messages import (
    PRINCIPAL_KEY,
    ASGIApp,
    Receive,
    Scope,
    Send,
    WatchedSend,
    header,
    read_body,
    replay,
    send_answer,
    with_cors,
)
from mcp_oidc.resource.bearer import (
    Endpoint,
    find_endpoint,
    recall_principal,
    refuse,
    require_origin,
    require_principal,
)
from mcp_oidc.resource.call_scopes import require_scopes_of_body, require_scopes_of_head
from mcp_oidc.resource.context import acting_for
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.refusals import REFUSABLE, Refusal
from mcp_oidc.resource.workers import verification_workers


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
        watched = WatchedSend(with_cors(scope, endpoint.origins, send))
        try:
            await self._admit(scope, receive, watched, endpoint)
        except REFUSABLE as error:
            if watched.has_begun:
                raise
            await _send_refusal(refuse(error, endpoint), watched)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, endpoint: Endpoint) -> None:
        require_origin(header(scope, b"origin"), endpoint)
        if scope["method"] == "OPTIONS":
            await send_answer(204, {}, b"", send)
            return
        authorization = header(scope, b"authorization")
        principal = recall_principal(authorization, endpoint)
        if principal is None:
            principal = await verification_workers.run(partial(require_principal, authorization, endpoint))
        head = require_scopes_of_head(principal, endpoint, scope["method"], lambda name: header(scope, name.encode()))
        if head is not None:
            body = await read_body(receive)
            require_scopes_of_body(principal, body, head, endpoint)
            receive = replay(body, receive)
        with acting_for(principal):
            await self._app({**scope, PRINCIPAL_KEY: principal}, receive, send)


def _issuer_of(scope: Scope) -> str:
    if app_settings.ISSUER is not None:
        return configured_issuer()
    # While DEBUG, by Django's own rules for Host. The query has no say in it and need not even be UTF-8.
    return issuer_of(ASGIRequest({**scope, "query_string": b""}, io.BytesIO()))


def _bad_host() -> Refusal:
    body = json.dumps(InvalidRequest("The Host header is not one of this server.").as_dict()).encode()
    return Refusal(400, {"Content-Type": "application/json", "Cache-Control": "no-store"}, body)


async def _send_refusal(refusal: Refusal, send: Send) -> None:
    await send_answer(refusal.status, refusal.headers, refusal.body, send)
