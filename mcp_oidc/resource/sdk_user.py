"""Who calls, in the terms of the `mcp` SDK, which FastMCP shares. Needs no Django."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials

from mcp_oidc.protocol.challenges import bearer_token
from mcp_oidc.resource.asgi_messages import PRINCIPAL_KEY, ASGIApp, Receive, Scope, Send, header


class SomePrincipal(Protocol):
    """What a principal tells, ours and one of a resource server elsewhere."""

    @property
    def subject(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def effective_scopes(self) -> tuple[str, ...]: ...
    @property
    def resource(self) -> str: ...
    @property
    def expires_at(self) -> int: ...
    @property
    def claims(self) -> Mapping[str, Any]: ...


class WithSdkUser:
    """Passes the principal of a middleware on to an app in the SDK's own terms, which `describe` puts it into."""

    def __init__(self, app: ASGIApp, describe: Callable[[Any, str], AccessToken]) -> None:
        # Sets what get_access_token() reads.
        self._app = AuthContextMiddleware(app)
        self._describe = describe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: SomePrincipal | None = scope.get(PRINCIPAL_KEY)
        if principal is not None:
            token = bearer_token(header(scope, b"authorization"))
            user = AuthenticatedUser(self._describe(principal, token))
            scope = {**scope, "user": user, "auth": AuthCredentials(principal.effective_scopes)}
        await self._app(scope, receive, send)


def members_of(principal: SomePrincipal, token: str) -> dict[str, Any]:
    """What an `AccessToken` of the SDK, or of a class below it, tells of a principal."""
    return {
        "token": token,
        "client_id": principal.client_id,
        # Frameworks compare them as they are, and know nothing of scopes that imply others.
        "scopes": list(principal.effective_scopes),
        "expires_at": principal.expires_at,
        "resource": principal.resource,
        "subject": principal.subject,
        "claims": dict(principal.claims),
    }
