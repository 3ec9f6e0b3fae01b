"""The one place that turns an Authorization header into a principal, or into a refusal with its challenge.

Every entry point wraps this. A token is read from the header only, never from the query string or the body (MCP
authorization, "Access Token Usage"; RFC 6750 2.3 warns of both).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

from django.conf import settings as django_settings

from mcp_oidc.conf import Resource, app_settings
from mcp_oidc.core.event_kinds import Count
from mcp_oidc.core.keys import UnknownKey
from mcp_oidc.core.recent import Recent
from mcp_oidc.core.tallies import count
from mcp_oidc.core.verification import Principal, averify_access_token, verify_access_token
from mcp_oidc.errors import (
    BearerError,
    InvalidRequest,
)
from mcp_oidc.protocol.challenges import bearer_token, challenge_for
from mcp_oidc.protocol.uris import origin_of
from mcp_oidc.resource.call_scopes import CallNeeds
from mcp_oidc.resource.databases import ask_database
from mcp_oidc.resource.gathering import read_row
from mcp_oidc.resource.needs import NOTHING, Needs
from mcp_oidc.resource.refusals import Refusable, Refusal, foreign_origin, make_refusal
from mcp_oidc.resource.workers import verification_workers


@dataclass(frozen=True, kw_only=True)
class Endpoint(CallNeeds):
    """A protected endpoint: its resource, who issues tokens for it, and the scopes that calls of it need."""

    resource: Resource
    issuer: str

    @cached_property
    def origins(self) -> frozenset[str]:
        """The web origins whose pages may call it: our own, and CORS_ORIGINS."""
        # Browsers write hosts in lower case, whatever the settings do.
        own = {origin_of(url).lower() for url in (self.issuer, self.resource.identifier)}
        return app_settings.CORS_ORIGINS | own


# With the settings that they were made of. While DEBUG the Host of a request decides about the issuer.
_endpoints: Recent[tuple[str, str, Needs], tuple[object, Endpoint]] = Recent(64)


def find_endpoint(key: str, *, issuer: str, needs: Needs = NOTHING) -> Endpoint:
    """The endpoint that RESOURCES names by `key`; `needs` come on top of what the resource itself asks for.

    Raises `ImproperlyConfigured` for a key that is not there.
    """
    settings = getattr(django_settings, "MCP_OIDC", None)
    place = (key, issuer, needs)
    known = _endpoints.get(place)
    if known is None or known[0] is not settings:
        known = settings, _make_endpoint(*place)
        _endpoints.put(place, known)
    return known[1]


def require_principal(authorization: str | None, endpoint: Endpoint) -> Principal:
    """Who calls, by the Authorization header of a request, whatever the token's scopes.

    Raises `MissingToken` and `InvalidToken` (401), `InvalidRequest` (400, a malformed header), and
    `TemporarilyUnavailable` (503) while the database cannot say whether the token still lives.
    """
    return verify_token(bearer_token(authorization), endpoint)


async def arequire_principal(authorization: str | None, endpoint: Endpoint) -> Principal:
    """What `require_principal` returns and raises, for an event loop, which goes on meanwhile."""
    return await averify_token(bearer_token(authorization), endpoint)


def verify_token(token: str, endpoint: Endpoint) -> Principal:
    """Who an access token for this endpoint's resource stands for. Raises as above."""
    resource = endpoint.resource.identifier
    return ask_database(partial(verify_access_token, token, issuer=endpoint.issuer, resource=resource))


async def averify_token(token: str, endpoint: Endpoint) -> Principal:
    """What `verify_token` returns and raises, for an event loop, which goes on meanwhile."""
    resource = endpoint.resource.identifier
    try:
        return await averify_access_token(token, issuer=endpoint.issuer, resource=resource, read_row=read_row)
    except UnknownKey:
        pass
    return await verification_workers.run(partial(verify_token, token, endpoint))


def require_origin(origin: str | None, endpoint: Endpoint) -> None:
    """Raise `AccessDenied` for a page of an origin that may not call this endpoint."""
    if origin is not None and origin not in endpoint.origins:
        raise foreign_origin()


def refuse(error: Refusable, endpoint: Endpoint) -> Refusal:
    """The answer to a request that ended in `error`."""
    resource = endpoint.resource
    refusal = make_refusal(
        error, resource=resource.identifier, metadata_url=resource.metadata_url, scopes=endpoint.scopes
    )
    count(Count.RESOURCE_REFUSED, refusal.reason)
    return refusal


def challenge(error: BearerError | InvalidRequest, endpoint: Endpoint) -> str:
    """The value of `WWW-Authenticate` for `error`."""
    return challenge_for(error, metadata_url=endpoint.resource.metadata_url, scopes=endpoint.scopes)


def _make_endpoint(key: str, issuer: str, needs: Needs) -> Endpoint:
    resource = app_settings.resource(key, issuer)
    method_scopes = dict(resource.method_scopes)
    for method, scopes in needs.by_method:
        method_scopes[method] = (*method_scopes.get(method, ()), *scopes)
    scopes = tuple(dict.fromkeys([*resource.scopes, *needs.always]))
    return Endpoint(
        resource=resource,
        issuer=issuer,
        scopes=scopes,
        method_scopes=method_scopes,
        tool_scopes=resource.tool_scopes,
    )
