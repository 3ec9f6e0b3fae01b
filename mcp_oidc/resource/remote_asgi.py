"""Protection of an ASGI app in another process, which needs neither Django nor our database. Pure ASGI.

    app = RemoteBearerMiddleware(app, RemoteVerifier(issuer, resource, client_id="...", client_secret="..."))

For an app of the `mcp` SDK or of FastMCP take `mcp_oidc.resource.remote_mcp.protect`, which also tells the SDK whose
sessions are whose.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import urlsplit

from mcp_oidc.protocol import cors
from mcp_oidc.protocol.challenges import bearer_token
from mcp_oidc.protocol.mcp_requests import require_methods
from mcp_oidc.protocol.resource_metadata import CACHE_CONTROL, metadata_document, metadata_url_of
from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.resource.asgi_messages import (
    PRINCIPAL_KEY,
    Answer,
    ASGIApp,
    Lines,
    Receive,
    Scope,
    Send,
    cors_lines,
    header,
    read_body,
    replay,
    send_answer,
)
from mcp_oidc.resource.call_scopes import CallNeeds, require_scopes_of_body, require_scopes_of_head
from mcp_oidc.resource.refusals import REFUSABLE, Refusable, foreign_origin, make_refusal
from mcp_oidc.resource.remote import RemotePrincipal, RemoteVerifier

_current: ContextVar[RemotePrincipal | None] = ContextVar("mcp_oidc_remote_principal", default=None)


def get_principal() -> RemotePrincipal:
    """Who calls. Raises `LookupError` outside a call that `RemoteBearerMiddleware` let through.

    Inside tools of the `mcp` SDK and FastMCP it works with and without sessions, and in synchronous tools too.
    """
    principal = _current.get()
    if principal is None:
        raise LookupError(
            "There is no current principal. Protect the app with mcp_oidc.resource.remote_mcp.protect or "
            "mcp_oidc.resource.remote_asgi.RemoteBearerMiddleware."
        )
    return principal


class RemoteBearerMiddleware:
    """Lets only requests with an access token that `verifier` takes through to `app`.

    `scopes` are needed for any call; besides, `tool_scopes` (tool to scopes) for calls of that tool and `method_scopes`
    for those of an HTTP or JSON-RPC method. Pages of `origins` may call it, beside those of the issuer and of the
    resource itself. The document that the challenge points to (RFC 9728) is served here, with `name` and
    `documentation`, a URL. The app finds the principal in `scope["mcp_oidc.principal"]` and by `get_principal()`.
    """

    def __init__(
        self,
        app: ASGIApp,
        verifier: RemoteVerifier,
        *,
        scopes: Collection[str] = (),
        tool_scopes: Mapping[str, Collection[str]] = {},
        method_scopes: Mapping[str, Collection[str]] = {},
        origins: Collection[str] = (),
        name: str = "",
        documentation: str = "",
    ) -> None:
        require_methods(method_scopes)
        self._app = app
        self._verifier = verifier
        self._needs = CallNeeds(
            scopes=tuple(scopes),
            tool_scopes={tool: tuple(needed) for tool, needed in tool_scopes.items()},
            method_scopes={method: tuple(needed) for method, needed in method_scopes.items()},
        )
        # Browsers write hosts in lower case.
        own = {origin_of(url).lower() for url in (verifier.issuer, verifier.resource)}
        self._origins = frozenset(origins) | own
        self._metadata_url = metadata_url_of(verifier.resource)
        document = metadata_document(
            verifier.resource, issuer=verifier.issuer, scopes=self._needs.scopes, name=name, documentation=documentation
        )
        self._document = json.dumps(document).encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # MCP has no such transport, and a browser cannot send a token with it.
            await send({"type": "websocket.close", "code": 1008, "reason": "WebSockets are not served here."})
        elif scope["type"] != "http":
            raise ValueError(f"The ASGI scope {scope['type']!r} is not one that can be protected.")
        elif scope["path"] == urlsplit(self._metadata_url).path:
            await self._publish(scope, send)
        else:
            await self._serve(scope, receive, send)

    async def _publish(self, scope: Scope, send: Send) -> None:
        send = Answer(send, _cors(scope, cors.ANY_ORIGIN))
        allow = {"Allow": "GET, HEAD, OPTIONS"}
        if scope["method"] == "OPTIONS":
            await send_answer(204, allow, b"", send)
        elif scope["method"] not in ("GET", "HEAD"):
            await send_answer(405, allow, b"", send)
        else:
            headers = {"Content-Type": "application/json", "Cache-Control": CACHE_CONTROL}
            await send_answer(200, headers, self._document if scope["method"] == "GET" else b"", send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = Answer(send, _cors(scope, self._origins))
        needs = self._needs.at(scope["method"])
        try:
            await self._admit(scope, receive, answer, needs)
        except REFUSABLE as error:
            if answer.has_begun:
                raise
            await self._refuse(error, answer, needs)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, needs: CallNeeds) -> None:
        origin = header(scope, b"origin")
        if origin is not None and origin not in self._origins:
            raise foreign_origin()
        if scope["method"] == "OPTIONS":
            await send_answer(204, {}, b"", send)
            return
        principal = await self._verifier.averify(bearer_token(header(scope, b"authorization")))
        head = require_scopes_of_head(principal, needs, scope["method"], lambda name: header(scope, name.encode()))
        if head is not None:
            body = await read_body(receive)
            require_scopes_of_body(principal, body, head, needs)
            receive = replay(body, receive)
        with _acting_for(principal):
            await self._app({**scope, PRINCIPAL_KEY: principal}, receive, send)

    async def _refuse(self, error: Refusable, send: Send, needs: CallNeeds) -> None:
        refusal = make_refusal(
            error, resource=self._verifier.resource, metadata_url=self._metadata_url, scopes=needs.scopes
        )
        await send_answer(refusal.status, refusal.headers, refusal.body, send)


def _cors(scope: Scope, origins: Collection[str]) -> Lines:
    return cors_lines(header(scope, b"origin"), origins, is_preflight=scope["method"] == "OPTIONS")


@contextmanager
def _acting_for(principal: RemotePrincipal) -> Iterator[None]:
    token = _current.set(principal)
    try:
        yield
    finally:
        _current.reset(token)
