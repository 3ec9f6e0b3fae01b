"""The one place that turns an Authorization header into a principal, or into a refusal with its challenge.

Every entry point wraps this. A token is read from the header only, never from the query string or the body (MCP
authorization, "Access Token Usage"; RFC 6750 2.3 warns of both).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from django.conf import settings as django_settings
from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError, close_old_connections

from mcp_oidc.conf import Resource, app_settings
from mcp_oidc.core.outages import tell_outage
from mcp_oidc.core.recent import Recent
from mcp_oidc.core.tallies import count
from mcp_oidc.core.verification import Principal, recall_access_token, verify_access_token
from mcp_oidc.errors import (
    AccessDenied,
    BearerError,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    OAuthError,
    TemporarilyUnavailable,
    UpstreamLoginRequired,
    UpstreamUnavailable,
)
from mcp_oidc.protocol.challenges import bearer_token, challenge_for
from mcp_oidc.protocol.uris import origin_of

logger = logging.getLogger("mcp_oidc.resource")

# What an entry point answers with a refusal, whether it came up here or in the code behind it.
Refusable = OAuthError | UpstreamLoginRequired | UpstreamUnavailable
REFUSABLE = (OAuthError, UpstreamLoginRequired, UpstreamUnavailable)


@dataclass(frozen=True)
class Endpoint:
    """A protected endpoint: its resource, who issues tokens for it, and every scope that a call of it needs."""

    resource: Resource
    issuer: str
    scopes: tuple[str, ...]

    @cached_property
    def origins(self) -> frozenset[str]:
        """The web origins whose pages may call it: our own, and CORS_ORIGINS."""
        # Browsers write hosts in lower case, whatever the settings do.
        own = {origin_of(url).lower() for url in (self.issuer, self.resource.identifier)}
        return app_settings.CORS_ORIGINS | own


# With the settings that they were made of. While DEBUG the Host of a request decides about the issuer.
_endpoints: Recent[tuple[str, str, tuple[str, ...]], tuple[object, Endpoint]] = Recent(64)


@dataclass(frozen=True)
class Refusal:
    """An answer without the protected thing in it, for any framework to send."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def find_endpoint(key: str, *, issuer: str, scopes: Collection[str] = ()) -> Endpoint:
    """The endpoint that RESOURCES names by `key`; `scopes` are needed besides the resource's own SCOPES.

    Raises `ImproperlyConfigured` for a key that is not there.
    """
    settings = getattr(django_settings, "MCP_OIDC", None)
    place = (key, issuer, tuple(scopes))
    known = _endpoints.get(place)
    if known is None or known[0] is not settings:
        known = settings, _make_endpoint(*place)
        _endpoints.put(place, known)
    return known[1]


def recall_principal(authorization: str | None, endpoint: Endpoint) -> Principal | None:
    """What `require_principal` returns and raises, as far as nobody has to wait for it; else None."""
    principal = recall_token(bearer_token(authorization), endpoint)
    return None if principal is None else _with_scopes(principal, endpoint)


def recall_token(token: str, endpoint: Endpoint) -> Principal | None:
    """What `verify_token` returns and raises, as far as nobody has to wait for it; else None."""
    return recall_access_token(token, issuer=endpoint.issuer, resource=endpoint.resource.identifier)


def require_principal(authorization: str | None, endpoint: Endpoint) -> Principal:
    """Who calls, by the Authorization header of a request.

    Raises `MissingToken` and `InvalidToken` (401), `InsufficientScope` (403), `InvalidRequest` (400, a malformed
    header), and `TemporarilyUnavailable` (503) while the database cannot say whether the token still lives.
    """
    return _with_scopes(verify_token(bearer_token(authorization), endpoint), endpoint)


def verify_token(token: str, endpoint: Endpoint) -> Principal:
    """Who an access token for this endpoint's resource stands for, whatever its scopes. Raises as above."""
    try:
        return _verify_on_a_connection_that_lives(token, endpoint)
    except DatabaseFailure as error:
        # Fails closed, and not with a 401: the token may be good, and the client must not throw it away.
        tell_outage(error)
        raise TemporarilyUnavailable("The access token cannot be verified right now.") from error


def require_origin(origin: str | None, endpoint: Endpoint) -> None:
    """Raise `AccessDenied` for a page of another site, which reached us by DNS rebinding or without being allowed.

    MCP transports, "Streamable HTTP", security warning: servers must validate Origin and answer 403.
    """
    if origin is not None and origin not in endpoint.origins:
        raise AccessDenied("Pages of this origin may not call this server.", log="request of a foreign origin refused")


def refuse(error: Refusable, endpoint: Endpoint) -> Refusal:
    """The answer to a request that ended in `error`."""
    error = _in_terms_of(endpoint, error)
    # The first call of every client comes without a token, which is no trouble.
    count("resource.refused", "missing_token" if isinstance(error, MissingToken) else error.code)
    if error.log:
        level = logging.WARNING if error.status >= 500 else logging.INFO
        logger.log(level, "%s: %s", endpoint.resource.identifier, error.log)
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    if isinstance(error, (BearerError, InvalidRequest)):
        headers["WWW-Authenticate"] = challenge(error, endpoint)
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    return Refusal(error.status, headers, json.dumps(error.as_dict()).encode())


def challenge(error: BearerError | InvalidRequest, endpoint: Endpoint) -> str:
    """The value of `WWW-Authenticate` for `error`."""
    return challenge_for(error, metadata_url=endpoint.resource.metadata_url, scopes=endpoint.scopes)


def _make_endpoint(key: str, issuer: str, scopes: tuple[str, ...]) -> Endpoint:
    resource = app_settings.resource(key, issuer)
    return Endpoint(resource=resource, issuer=issuer, scopes=tuple(dict.fromkeys([*resource.scopes, *scopes])))


def _with_scopes(principal: Principal, endpoint: Endpoint) -> Principal:
    if not principal.has_scopes(endpoint.scopes):
        raise InsufficientScope("The access token lacks a scope.", scopes=endpoint.scopes)
    return principal


def _verify_on_a_connection_that_lives(token: str, endpoint: Endpoint) -> Principal:
    verify = partial(verify_access_token, token, issuer=endpoint.issuer, resource=endpoint.resource.identifier)
    try:
        return verify()
    except (InterfaceError, OperationalError):
        # The database closed a connection that was kept, and Django notices at the next query only: ours, most often.
        close_old_connections()
        return verify()


def _in_terms_of(endpoint: Endpoint, error: Refusable) -> OAuthError:
    if isinstance(error, UpstreamLoginRequired):
        # The one answer that makes an MCP client send its user through the login again.
        return InvalidToken("The user has to log in at the identity provider again.")
    if isinstance(error, UpstreamUnavailable):
        return TemporarilyUnavailable("The identity provider does not answer.")
    if isinstance(error, InsufficientScope):
        # One challenge for all: a client that is stepped up twice in a row gives up.
        scopes = tuple(dict.fromkeys([*endpoint.scopes, *error.scopes]))
        return InsufficientScope(error.description, scopes=scopes, log=error.log)
    return error
