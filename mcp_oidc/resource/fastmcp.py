"""Protection of servers made with FastMCP 4 that run beside Django, in the same process.

    app = protect(FastMCP("My tools").http_app())

or, where FastMCP's own `auth` is wanted, with the same answers to the same requests:

    app = FastMCP("My tools", auth=RemoteAuthProvider()).http_app()

Tools find `get_principal()` either way, and FastMCP's own `get_access_token()`, which `get_idp_tokens` takes.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from fastmcp.exceptions import ToolError
from fastmcp.server.auth import AccessToken
from fastmcp.server.auth import RemoteAuthProvider as RemoteAuthProviderOfFastMCP
from fastmcp.server.auth import TokenVerifier as TokenVerifierOfFastMCP
from pydantic import AnyHttpUrl, ConfigDict, Field
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from mcp_oidc.conf import configured_issuer
from mcp_oidc.core.verification import Principal
from mcp_oidc.protocol.resource_metadata import CACHE_CONTROL
from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.resource.asgi import BearerMiddleware
from mcp_oidc.resource.asgi_messages import ASGIApp, Receive, Scope, Send
from mcp_oidc.resource.bearer import find_endpoint
from mcp_oidc.resource.mcp_sdk import TokenVerifier
from mcp_oidc.resource.metadata import metadata_of
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.sdk_user import WithSdkUser, members_of
from mcp_oidc.resource.telling import telling


class PrincipalToken(AccessToken):
    """FastMCP's view of a principal: what its `get_access_token()` returns inside tools.

    `mcp_oidc.resource.idp_tokens.get_idp_tokens` takes it, for the principal that it carries.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    principal: Principal = Field(exclude=True, repr=False)


def protect(app: ASGIApp, resource: str = "/mcp", *, scopes: Scopes = ()) -> BearerMiddleware:
    """An app of FastMCP, made without `auth`, behind `BearerMiddleware`: every route, those of `custom_route` too."""
    return BearerMiddleware(WithSdkUser(app, _describe), resource, scopes=scopes)


class RemoteAuthProvider(RemoteAuthProviderOfFastMCP):
    """FastMCP's `auth` for `resource` (a key of RESOURCES): protects the MCP endpoint of its `http_app()`.

    What FastMCP serves below `/.well-known/` is our own document, and refusals are the ones of `BearerMiddleware`, in
    JSON and with the scopes in the challenge. Routes of `custom_route` stay open, as with any `auth` of FastMCP.
    Raises `ImproperlyConfigured` without an ISSUER.
    """

    def __init__(self, resource: str = "/mcp", *, scopes: Scopes = ()) -> None:
        self._endpoint = find_endpoint(resource, issuer=configured_issuer(), needs=read_needs(scopes))
        super().__init__(
            token_verifier=_Verifier(resource, self._endpoint.scopes),
            authorization_servers=[AnyHttpUrl(self._endpoint.issuer)],
            base_url=origin_of(self._endpoint.resource.identifier),
        )
        self._resource = resource
        self._scopes = scopes
        self._paths: set[str] = set()

    def set_mcp_path(self, mcp_path: str | None) -> None:
        """Protect the path of the endpoint, too. FastMCP calls this for each app and for each set of routes."""
        super().set_mcp_path(mcp_path)
        if mcp_path:
            self._paths.add(mcp_path)

    def get_routes(self, mcp_path: str | None = None) -> list[Route]:
        """The route of the metadata document, where RFC 9728 3.1 has it."""
        self.set_mcp_path(mcp_path)
        path = urlsplit(self._endpoint.resource.metadata_url).path
        document = JSONResponse(
            metadata_of(self._endpoint.resource, self._endpoint.issuer), headers={"Cache-Control": CACHE_CONTROL}
        )
        # Clients in browsers send MCP-Protocol-Version with it, so it needs preflights, too.
        open_to_all = CORSMiddleware(document, allow_origins=["*"], allow_headers=["*"])
        return [Route(path, open_to_all, methods=["GET", "OPTIONS"])]

    def get_middleware(self) -> list[Middleware]:
        """The middleware that lets requests through to the endpoint, and not to other routes."""
        return [Middleware(_Guard, resource=self._resource, scopes=self._scopes, paths=self._paths)]


def tool_errors() -> AbstractContextManager[None]:
    """Inside a tool, around what needs the identity provider: lets the model read why that failed.

    Raises FastMCP's `ToolError` for `UpstreamLoginRequired` and `UpstreamUnavailable`.
    """
    return telling(ToolError)


class _Verifier(TokenVerifierOfFastMCP):
    """For code of FastMCP that has a token verified by itself, such as `MultiAuth`."""

    def __init__(self, resource: str, scopes: Collection[str]) -> None:
        super().__init__(required_scopes=list(scopes))
        self._verifier = TokenVerifier(resource)

    async def verify_token(self, token: str) -> PrincipalToken | None:
        verified = await self._verifier.verify_token(token)
        return None if verified is None else _describe(verified.principal, token)


class _Guard:
    """Protects the paths of MCP endpoints, and leaves other routes of the app alone."""

    def __init__(self, app: ASGIApp, *, resource: str, scopes: Scopes, paths: Collection[str]) -> None:
        self._app = app
        self._protected = protect(app, resource, scopes=scopes)
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # What this does not recognize reaches FastMCP without a user, and is refused there.
        is_endpoint = scope["type"] == "http" and _path_of(scope) in self._paths
        await (self._protected if is_endpoint else self._app)(scope, receive, send)


def _path_of(scope: Scope) -> str:
    """The path below the place where the app is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _describe(principal: Principal, token: str) -> PrincipalToken:
    return PrincipalToken(principal=principal, **members_of(principal, token))
