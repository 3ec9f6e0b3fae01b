"""A resource server elsewhere, in this process: its middleware, and the issuer as it reaches it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.db import Error as DatabaseFailure
from django.db import connections
from django.test import Client

from mcp_oidc.conf import app_settings
from mcp_oidc.core.clients import clients
from mcp_oidc.core.introspection import introspect
from mcp_oidc.resource.asgi_messages import PRINCIPAL_KEY, Receive, Scope, Send, send_answer
from mcp_oidc.resource.bearer import find_endpoint
from mcp_oidc.resource.needs import read_needs
from mcp_oidc.resource.remote import RemoteVerifier
from mcp_oidc.resource.remote_asgi import RemoteBearerMiddleware, get_principal
from tests.factories import ISSUER, add_resource_server
from tests.resource.answers import describe

PLACES: dict[str, tuple[str, tuple[str, ...]]] = {
    "mcp": ("/mcp", ()),
    "plain": ("/mcp/plain", ()),
    "scoped": ("/mcp", ("notes:write",)),
}


def remote_app(place: str) -> RemoteBearerMiddleware:
    """A small app, protected as the settings of today say of the place. It asks the issuer about each token."""
    key, scopes = PLACES[place]
    endpoint = find_endpoint(key, issuer=ISSUER, needs=read_needs(scopes))
    verifier = RemoteVerifier(
        ISSUER,
        endpoint.resource.identifier,
        client_id="tools",
        client_secret="secret",
        cache_seconds=0,
        implied_scopes=app_settings.IMPLIED_SCOPES,
        http=_ask,
    )
    return RemoteBearerMiddleware(
        _small_app,
        verifier,
        scopes=endpoint.scopes,
        tool_scopes=endpoint.tool_scopes,
        method_scopes=endpoint.method_scopes,
        origins=app_settings.CORS_ORIGINS,
        name=endpoint.resource.name,
    )


async def _small_app(scope: Scope, receive: Receive, send: Send) -> None:
    principal = scope[PRINCIPAL_KEY]
    assert get_principal() is principal
    body = json.dumps(describe(principal, "")).encode()
    await send_answer(200, {"Content-Type": "application/json"}, body, send)


def _ask(url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    """The issuer, asked from a thread of the resource server."""
    try:
        return json.dumps(_answer(url.removeprefix(ISSUER), form)).encode()
    except DatabaseFailure as error:
        raise OSError("status 503") from error
    finally:
        connections.close_all()


def _answer(path: str, form: Mapping[str, str] | None) -> Any:
    if form is None:
        return Client().get(path).json()
    server = clients().filter(name="Tools elsewhere").first() or add_resource_server("/mcp", "/mcp/plain").client
    return introspect(form["token"], server, issuer=ISSUER)
