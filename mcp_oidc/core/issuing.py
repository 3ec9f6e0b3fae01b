"""Issuing: a code is redeemed, a refresh token is rotated. Each is one conditional UPDATE after every other check.

A refusal uses nothing up. What is issued is computed from the Connection and signed before the UPDATE, outside any
transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.db import transaction

from mcp_oidc.adapter import get_adapter
from mcp_oidc.conf import Resource, app_settings
from mcp_oidc.core import audit, tallies
from mcp_oidc.core.clients import note_use
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.connections import Snapshot, advance, read_connection, redeem
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.keys import key_ring
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.core.token_sets import TokenSet, issue_tokens
from mcp_oidc.errors import AccessDenied, InvalidGrant, InvalidRequest, InvalidScope, InvalidTarget
from mcp_oidc.models import AbstractClient, Connection
from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.opaque_tokens import Kind, OpaqueToken, parse_token
from mcp_oidc.protocol.scopes import granted_scopes, parse_scope

logger = logging.getLogger("mcp_oidc")

# A token superseded less long ago may have been on its way already: it is refused, but proves no theft.
STRAGGLER = timedelta(seconds=10)
# A refresh that loses a race reads again and is then a retry; twice would need two more rotations in between.
_MAX_READS = 5

# Asks whoever may object to a refresh. True if that took time, in which the connection may have changed.
Consult = Callable[[Snapshot], bool]

_BAD_CODE = "The authorization code is not valid for this request."
_BAD_REFRESH_TOKEN = "The refresh token is not valid for this request."  # noqa: S105


@dataclass(frozen=True)
class CodeRequest:
    """A token request with an authorization code (RFC 6749 4.1.3, RFC 7636 4.5, RFC 8707 2.2)."""

    code: str = field(repr=False)
    redirect_uri: str | None
    code_verifier: str = field(repr=False)
    resource: str | None


@dataclass(frozen=True)
class RefreshRequest:
    """A token request with a refresh token (RFC 6749 6, RFC 8707 2.2)."""

    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...]
    resource: str | None


def redeem_code(request: CodeRequest, client: AbstractClient, *, issuer: str, caller: audit.Caller) -> TokenSet:
    """Exchange an authorization code for tokens.

    Raises `InvalidGrant`, `InvalidRequest` and `InvalidTarget`. A second use revokes what the first one issued
    (RFC 6749 4.1.2), but not for a request that read the code unused and merely lost the race.
    """
    snapshot = _authentic(request.code, Kind.CODE, client, _BAD_CODE)[1]
    connection = snapshot.connection
    _require_code_binding(connection, request)
    _require_alive(snapshot, _BAD_CODE, caller)
    if connection.generation > 0:
        audit.record("connection.replayed", "refused", reason="code_reused", connection=connection, caller=caller)
        revoke_connection(connection.pk, "code_reused", caller=caller)
        raise InvalidGrant(_BAD_CODE, log="authorization code used twice")
    # Before the code is used up, so that trouble with a key or in the adapter costs the client nothing.
    tokens = issue_tokens(connection, 1, client, parse_scope(connection.scopes), issuer=issuer, with_id_token=True)
    note_use(client)
    _use_up(connection, client, caller)
    return tokens


def refresh(
    request: RefreshRequest,
    client: AbstractClient,
    *,
    issuer: str,
    caller: audit.Caller,
    consult: Consult | None = None,
) -> TokenSet:
    """Exchange a refresh token for its successor.

    `consult` is asked once, when nothing else speaks against it. It objects by ending the connection, or by an error.

    Parallel and repeated requests get the same successor: within REFRESH_TOKEN_GRACE, and later while it has not been
    seen in use, up to REFRESH_TOKEN_RETRY. Raises `InvalidGrant`, `InvalidScope` and `InvalidTarget`; none of them
    costs the client its token, except a replay, which ends the Connection (RFC 9700 4.14.2).
    """
    for _ in range(_MAX_READS):
        # Read outside any transaction: MariaDB would show a loser the old generation again.
        token, snapshot = _authentic(request.refresh_token, Kind.REFRESH, client, _BAD_REFRESH_TOKEN)
        connection = snapshot.connection
        _require_alive(snapshot, _BAD_REFRESH_TOKEN, caller)
        _require_resource(connection, request.resource)
        scopes = _narrowed(connection, request.scopes, _still_granted(connection, client, issuer), issuer)
        generation = _next_generation(token, snapshot, caller)
        if consult is not None:
            ask, consult = consult, None
            if ask(snapshot):
                continue
        tokens = issue_tokens(connection, generation, client, scopes, issuer=issuer, with_id_token=False)
        note_use(client)
        if generation == connection.generation:
            audit.record("connection.retried", "allowed", connection=connection, caller=caller)
            return tokens
        if advance(connection, generation):
            tallies.count("connection.refreshed", "allowed")
            logger.info("refreshed", extra={"connection_id": str(connection.pk), "generation": generation})
            return tokens
    raise InvalidGrant(_BAD_REFRESH_TOKEN, log="refresh token overtaken by other requests")


@retry_conflicts
def _use_up(connection: Connection, client: AbstractClient, caller: audit.Caller) -> None:
    with transaction.atomic():
        if not redeem(connection):
            raise InvalidGrant(_BAD_CODE, log="authorization code expired, or redeemed by another request just now")
        audit.record("connection.issued", "allowed", connection=connection, client=client, caller=caller)


def _next_generation(token: OpaqueToken, snapshot: Snapshot, caller: audit.Caller) -> int:
    connection = snapshot.connection
    if token.generation >= connection.generation:
        # Above the row's: the MAC holds, so we issued it, and the row comes from a backup. It moves forward.
        return token.generation + 1
    if token.generation == connection.generation - 1 and _may_retry(snapshot):
        return connection.generation
    _refuse_replay(token, snapshot, caller)
    raise InvalidGrant(_BAD_REFRESH_TOKEN, log="superseded refresh token")


def _may_retry(snapshot: Snapshot) -> bool:
    age = snapshot.since_rotation
    if age <= timedelta(seconds=app_settings.REFRESH_TOKEN_GRACE):
        return True
    was_seen = snapshot.connection.seen_generation >= snapshot.connection.generation
    return not was_seen and age <= timedelta(seconds=app_settings.REFRESH_TOKEN_RETRY)


def _refuse_replay(token: OpaqueToken, snapshot: Snapshot, caller: audit.Caller) -> None:
    is_previous = token.generation == snapshot.connection.generation - 1
    superseded = snapshot.since_rotation if is_previous else snapshot.since_previous_rotation
    if superseded <= STRAGGLER:
        return
    reason = "refresh_token_replayed"
    audit.record("connection.replayed", "refused", reason=reason, connection=snapshot.connection, caller=caller)
    if app_settings.REFRESH_TOKEN_REPLAY == "revoke":  # noqa: S105  # the name of a policy
        revoke_connection(snapshot.connection.pk, reason, caller=caller)


def _authentic(text: str, kind: Kind, client: AbstractClient, refusal: str) -> tuple[OpaqueToken, Snapshot]:
    token = parse_token(text)
    snapshot = read_connection(token.connection_id) if token is not None and token.kind == kind else None
    if token is None or snapshot is None:
        raise InvalidGrant(refusal)
    if not token.is_authentic(salt=snapshot.connection.salt, keys=mac_keys()):
        # Secrets that do not open the signing key are not those that the token was made with either. Then the server
        # is out of order, and must not send everybody to the login.
        _ = key_ring().signing
        raise InvalidGrant(refusal, log="a token whose MAC does not hold")
    # Somebody else's token harms nobody.
    if snapshot.connection.client_id != client.pk:
        raise InvalidGrant(refusal, log="a token of another client")
    return token, snapshot


def _require_alive(snapshot: Snapshot, refusal: str, caller: audit.Caller) -> None:
    connection = snapshot.connection
    if connection.revoked_at is not None:
        raise InvalidGrant(refusal, log=f"connection revoked: {connection.revoked_reason}")
    if snapshot.has_expired:
        raise InvalidGrant(refusal, log="connection expired")
    if connection.user is None or not connection.user.is_active:
        # For good: a user who comes back later connects anew.
        revoke_connection(connection.pk, "user_inactive", caller=caller)
        raise InvalidGrant(refusal, log="user gone or inactive")


def _require_code_binding(connection: Connection, request: CodeRequest) -> None:
    if request.redirect_uri is None and connection.redirect_uri_sent:
        raise InvalidRequest("The parameter redirect_uri is missing.")
    if request.redirect_uri not in (None, connection.redirect_uri):
        raise InvalidGrant(_BAD_CODE, log="redirect_uri is not that of the authorization request")
    if not pkce.is_verified(request.code_verifier, connection.code_challenge):
        raise InvalidGrant(_BAD_CODE, log="code_verifier does not fit")
    _require_resource(connection, request.resource)


def _require_resource(connection: Connection, resource: str | None) -> None:
    if resource is not None and resource != connection.resource:
        raise InvalidTarget("The resource is not the one that the user approved.")


def _still_granted(connection: Connection, client: AbstractClient, issuer: str) -> tuple[str, ...]:
    """What the user approved, and may still give: settings and rights change while a connection lives."""
    assert connection.user is not None  # noqa: S101  # _require_alive refused the others
    approved = parse_scope(connection.scopes)
    resource = _resource(connection, issuer)
    known = app_settings.scopes_for(resource) if resource is not None else approved
    try:
        granted = get_adapter().authorize_connection(
            connection.user, client, tuple(scope for scope in approved if scope in known)
        )
    except AccessDenied as error:
        raise InvalidGrant(_BAD_REFRESH_TOKEN, log=f"the adapter refuses the client: {error.description}") from None
    # Never more than was approved, whatever the adapter says.
    return tuple(scope for scope in granted if scope in approved)


def _narrowed(connection: Connection, asked: tuple[str, ...], granted: tuple[str, ...], issuer: str) -> tuple[str, ...]:
    if not asked:
        return granted
    if not set(asked) <= set(parse_scope(connection.scopes)):
        raise InvalidScope("The scope is wider than what the user approved.")
    resource = _resource(connection, issuer)
    required = [scope for scope in resource.scopes if scope in granted] if resource is not None else []
    return granted_scopes(asked, known=granted, required=required)


def _resource(connection: Connection, issuer: str) -> Resource | None:
    # None once it has left the settings; nothing takes its tokens any more.
    found = (item for item in app_settings.resources(issuer) if item.identifier == connection.resource)
    return next(found, None)
