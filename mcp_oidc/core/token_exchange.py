"""Token exchange: a resource server elsewhere gets the IdP's access token of the user whose token it was sent.

That is more than introspection tells, so an operator allows it to each resource server, and no registration ever does.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.utils import timezone

from mcp_oidc.core import audit
from mcp_oidc.core.clock import from_now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.introspection import is_served
from mcp_oidc.core.keys import find_key
from mcp_oidc.core.upstream_tokens import IdpTokens
from mcp_oidc.core.verification import Principal, principal_from_database
from mcp_oidc.errors import (
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    InvalidToken,
    UnauthorizedClient,
    UpstreamLoginRequired,
)
from mcp_oidc.models import AbstractClient, Connection, Event
from mcp_oidc.protocol.access_tokens import AccessTokenClaims, verify_access_token
from mcp_oidc.protocol.scopes import format_scope
from mcp_oidc.protocol.token_exchange import ExchangedToken, ExchangeRequest

# Seconds. A resource server in another language may ask at each call: one event of each connection tells as much.
EVENT_INTERVAL = 3600

_BAD_TOKEN = "The subject_token is no access token that this resource server can exchange."  # noqa: S105  # a message

# Gives the IdP's tokens of an identity, and may have to ask the IdP for them.
FetchTokens = Callable[[int], IdpTokens]


def exchange(
    request: ExchangeRequest, client: AbstractClient, *, issuer: str, caller: audit.Caller, fetch: FetchTokens
) -> ExchangedToken:
    """The IdP's access token for an access token that is alive and for a resource that `client`, proven, serves.

    Raises `UnauthorizedClient`, `InvalidRequest` where the token is no good (RFC 8693 2.2.2), `InvalidTarget`,
    `InvalidScope`, and what `fetch` raises: `UpstreamLoginRequired` and `UpstreamError`.
    """
    # Whatever a client says of itself, only an operator makes it a resource server.
    if client.registration_source != AbstractClient.RegistrationSource.MANUAL or not client.serves:
        raise UnauthorizedClient("Only a resource server may exchange tokens.")
    claims = _received(request.subject_token, client, issuer)
    principal = _living(claims)
    if principal.identity_id is None:
        raise UpstreamLoginRequired("The user has no identity at the identity provider.")
    _require_audience(request.audience, principal)
    tokens = fetch(principal.identity_id)
    # The provider may have taken its time, and the connection ended meanwhile.
    _living(claims)
    if tokens.scopes and not set(request.scopes) <= set(tokens.scopes):
        raise InvalidScope("The user's token of the identity provider has no such scope.")
    _record(principal, client, caller)
    return ExchangedToken(tokens.access_token, _seconds_left(tokens), format_scope(tokens.scopes))


def _received(token: str, client: AbstractClient, issuer: str) -> AccessTokenClaims:
    try:
        claims = verify_access_token(token, find_key, issuer=issuer, audience=None)
    except InvalidToken as error:
        raise InvalidRequest(_BAD_TOKEN, log=error.log) from None
    # First of all, as in introspection: nobody learns of tokens for others, nor makes them count as seen.
    if not is_served(claims.audience, client, issuer):
        raise InvalidRequest(_BAD_TOKEN, log="a token for another resource was to be exchanged")
    return claims


def _living(claims: AccessTokenClaims) -> Principal:
    try:
        return principal_from_database(claims)
    except InvalidToken:
        raise InvalidRequest(_BAD_TOKEN) from None


def _require_audience(audience: str | None, principal: Principal) -> None:
    identity = principal.identity
    if audience is not None and (identity is None or audience != identity.issuer):
        raise InvalidTarget("The audience must be the issuer of the user's identity provider, or left out.")


def _seconds_left(tokens: IdpTokens) -> int | None:
    if tokens.expires_at is None:
        return None
    return max(0, int((tokens.expires_at - timezone.now()).total_seconds()))


@retry_conflicts
def _record(principal: Principal, client: AbstractClient, caller: audit.Caller) -> None:
    told = Event.objects.filter(
        connection_id=principal.connection_id, kind=Kind.IDP_TOKENS_EXCHANGED, client_id=client.pk
    )
    if told.filter(created_at__gt=from_now(-EVENT_INTERVAL)).exists():
        return
    # Its row need not be loaded for what the event takes from it.
    connection = Connection(pk=principal.connection_id, user_id=principal.user_id, subject=principal.subject)
    detail = {"resource": principal.resource, "client_id": principal.client_id}
    with transaction.atomic():
        audit.record(
            Kind.IDP_TOKENS_EXCHANGED,
            Outcome.ALLOWED,
            client=client,
            connection=connection,
            caller=caller,
            detail=detail,
        )
