"""Protection of servers made with the `mcp` SDK 2.x or FastMCP 4 in a process of their own, which needs no Django.

    app = protect(FastMCP("My tools").http_app(), verifier)
    app = protect(MCPServer("My tools").streamable_http_app(transport_security=transport_security(verifier)), verifier)

Tools find `get_principal()`, and the `get_access_token()` of their own framework.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecuritySettings

from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.resource.asgi_messages import ASGIApp
from mcp_oidc.resource.remote import RemotePrincipal, RemoteVerifier
from mcp_oidc.resource.remote_asgi import RemoteBearerMiddleware, get_principal
from mcp_oidc.resource.sdk_user import WithSdkUser, members_of
from mcp_oidc.resource.telling import telling

__all__ = ["get_principal", "protect", "telling", "transport_security"]


def protect(
    app: ASGIApp,
    verifier: RemoteVerifier,
    *,
    scopes: Collection[str] = (),
    tool_scopes: Mapping[str, Collection[str]] = {},
    method_scopes: Mapping[str, Collection[str]] = {},
    origins: Collection[str] = (),
    name: str = "",
    documentation: str = "",
) -> RemoteBearerMiddleware:
    """An app of the SDK or of FastMCP, made without `auth`, behind `RemoteBearerMiddleware`: every route of it.

    The SDK is told who calls all the same: it binds sessions to the client and user that opened them, so that a session
    id is of no use to another user.
    """
    return RemoteBearerMiddleware(
        WithSdkUser(app, _describe),
        verifier,
        scopes=scopes,
        tool_scopes=tool_scopes,
        method_scopes=method_scopes,
        origins=origins,
        name=name,
        documentation=documentation,
    )


def transport_security(verifier: RemoteVerifier, *, origins: Collection[str] = ()) -> TransportSecuritySettings:
    """The SDK's lists of Host and Origin values. Its own default is loopback only, which answers a host name with 421.

    A proxy in front must pass Host on.
    """
    own = {origin_of(url).lower() for url in (verifier.issuer, verifier.resource)}
    return TransportSecuritySettings(
        allowed_hosts=[urlsplit(verifier.resource).netloc.lower()], allowed_origins=sorted({*own, *origins})
    )


def _describe(principal: RemotePrincipal, token: str) -> AccessToken:
    return AccessToken.model_validate(members_of(principal, token))
