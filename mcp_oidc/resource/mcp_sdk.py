"""Protection of servers made with the official `mcp` SDK, 2.x.

    app = protect(server.streamable_http_app(transport_security=transport_security()))

`protect` is the way to do it: its challenges name the scopes, browsers get CORS, an outage is a 503, and tools find
`get_principal()` in every mode of the transport. `TokenVerifier` and `auth_settings` are for servers that have to use
the SDK's own middleware, which does none of these.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import AnyHttpUrl, ConfigDict, Field

from mcp_oidc.conf import app_settings, configured_issuer
from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import InvalidToken
from mcp_oidc.resource.asgi import BearerMiddleware
from mcp_oidc.resource.asgi_messages import ASGIApp
from mcp_oidc.resource.bearer import Endpoint, averify_token, find_endpoint
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.sdk_user import WithSdkUser, members_of
from mcp_oidc.resource.telling import telling

# With DEBUG and without an ISSUER the server answers to any loopback name, as Django itself does.
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


class PrincipalToken(AccessToken):
    """The SDK's view of a principal: what its `get_access_token()` returns inside tools.

    `mcp_oidc.resource.idp_tokens.get_idp_tokens` takes it, for the principal that it carries.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    principal: Principal = Field(exclude=True, repr=False)


class TokenVerifier:
    """The SDK's `TokenVerifier` for one resource (a key of RESOURCES).

    Scopes are left to the SDK, which compares them with `auth_settings().required_scopes` and knows no others: a
    resource with TOOL_SCOPES or METHOD_SCOPES needs `protect`.
    """

    def __init__(self, resource: str = "/mcp") -> None:
        self._resource = resource

    async def verify_token(self, token: str) -> PrincipalToken | None:
        """The token as the SDK describes it, or None for one that is refused.

        Raises `TemporarilyUnavailable` while the database cannot be asked. The SDK makes a 500 of it, which is still
        better than a 401: that would make clients throw good tokens away. Raises `ImproperlyConfigured` for a resource
        whose calls need different scopes.
        """
        endpoint = _require_one_list(find_endpoint(self._resource, issuer=configured_issuer()))
        try:
            principal = await averify_token(token, endpoint)
        except InvalidToken:
            return None
        return _describe(principal, token)


def protect(app: ASGIApp, resource: str = "/mcp", *, scopes: Scopes = ()) -> BearerMiddleware:
    """An app of the SDK behind `BearerMiddleware`; its own `auth` and `token_verifier` are not needed then.

    The SDK is told who calls all the same: it binds sessions to the client and user that opened them, so that a session
    id is of no use to another user.
    """
    return BearerMiddleware(WithSdkUser(app, _describe), resource, scopes=scopes)


def auth_settings(resource: str = "/mcp", *, scopes: Collection[str] = ()) -> AuthSettings:
    """The SDK's `AuthSettings` for `resource`: same issuer, resource and scopes as everywhere else.

    `scopes` are needed besides the resource's own. Raises `ImproperlyConfigured` without an ISSUER, for a URL that the
    SDK would write differently from us, and for a resource with TOOL_SCOPES or METHOD_SCOPES, which need `protect`.
    """
    endpoint = _require_one_list(find_endpoint(resource, issuer=configured_issuer(), needs=read_needs(scopes)))
    settings_of_sdk = AuthSettings.model_validate(
        {
            "issuer_url": endpoint.issuer,
            "resource_server_url": endpoint.resource.identifier,
            "required_scopes": list(endpoint.scopes),
            "validate_token_resource": True,
        }
    )
    _require_same_text(settings_of_sdk.issuer_url, endpoint.issuer)
    _require_same_text(settings_of_sdk.resource_server_url, endpoint.resource.identifier)
    return settings_of_sdk


def transport_security(resource: str = "/mcp") -> TransportSecuritySettings:
    """The SDK's lists of Host and Origin values, from ISSUER, the resource and CORS_ORIGINS.

    Its own default is loopback only, which answers a real host name with 421. A proxy in front must pass Host on.
    """
    if app_settings.ISSUER is None and settings.DEBUG:
        return TransportSecuritySettings(
            allowed_hosts=[host + port for host in _LOOPBACK_HOSTS for port in ("", ":*")],
            allowed_origins=[
                *(f"http://{host}{port}" for host in _LOOPBACK_HOSTS for port in ("", ":*")),
                *app_settings.CORS_ORIGINS,
            ],
        )
    endpoint = find_endpoint(resource, issuer=configured_issuer())
    hosts = {urlsplit(url).netloc.lower() for url in (endpoint.issuer, endpoint.resource.identifier)}
    return TransportSecuritySettings(allowed_hosts=sorted(hosts), allowed_origins=sorted(endpoint.origins))


def tool_errors() -> AbstractContextManager[None]:
    """Inside a tool, around what needs the identity provider: lets the model read why that failed.

    The SDK keeps the text of any exception but its own to itself. Raises `ToolError` for `UpstreamLoginRequired` and
    `UpstreamUnavailable`.
    """
    return telling(ToolError)


def _describe(principal: Principal, token: str) -> PrincipalToken:
    return PrincipalToken(principal=principal, **members_of(principal, token))


def _require_one_list(endpoint: Endpoint) -> Endpoint:
    # Calls that need more would go through.
    if endpoint.message_scopes or endpoint.method_scopes:
        raise ImproperlyConfigured(
            f"Calls of {endpoint.resource.identifier} need different scopes (TOOL_SCOPES, METHOD_SCOPES), which only "
            f"`protect` asks for: a TokenVerifier sees nothing of the call."
        )
    return endpoint


def _require_same_text(theirs: AnyHttpUrl | None, ours: str) -> None:
    # Clients compare these strings character by character.
    if str(theirs) != ours:
        raise ImproperlyConfigured(f"The mcp SDK would publish {ours!r} as {str(theirs)!r}. Write it like that.")
