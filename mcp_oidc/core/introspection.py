"""What a token is, for whoever it belongs to: the client that holds it, or the resource that it is for."""

from __future__ import annotations

import uuid
from typing import Any

from mcp_oidc.conf import app_settings
from mcp_oidc.core.connections import Snapshot, read_connection
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.keys import find_key
from mcp_oidc.core.sightings import see
from mcp_oidc.core.verification import principal_of
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.access_tokens import AccessTokenClaims, read_access_token, verify_access_token
from mcp_oidc.protocol.opaque_tokens import Kind, OpaqueToken, parse_token
from mcp_oidc.protocol.scopes import format_scope
from mcp_oidc.protocol.uris import origin_of


def introspect(token: str, client: AbstractClient, *, issuer: str) -> dict[str, Any]:
    """The answer of RFC 7662 2.2 for a token of the client's own, or an access token for a resource that it serves.

    Of any other no more is said than "not active". A token that is active counts as seen in use.
    """
    opaque = parse_token(token)
    if opaque is not None:
        return _describe_refresh_token(opaque, client, issuer)
    try:
        return _describe_access_token(token, client, issuer)
    except InvalidToken:
        return {"active": False}


def connection_of(token: str, client: AbstractClient, *, issuer: str) -> uuid.UUID | None:
    """The connection behind one of the client's own tokens of either kind, superseded and expired ones too."""
    opaque = parse_token(token)
    if opaque is not None:
        snapshot = _own_connection(opaque, client)
        return snapshot.connection.pk if snapshot is not None else None
    try:
        claims = read_access_token(token, find_key, issuer=issuer)
    except InvalidToken:
        return None
    return claims.connection_id if claims.client_id == client.client_id else None


def identify_resource(entry: str, issuer: str) -> str | None:
    """The identifier of the resource that `entry` names by its path or its whole URL; None for one that is not ours."""
    identifier = origin_of(issuer) + entry if entry.startswith("/") else entry
    known = (resource.identifier for resource in app_settings.resources(issuer))
    return identifier if identifier in known else None


def is_served(audience: str, client: AbstractClient, issuer: str) -> bool:
    """Whether an operator lets the client serve the resource of this identifier."""
    # Whatever a client says of itself, only an operator makes it a resource server.
    if client.registration_source != AbstractClient.RegistrationSource.MANUAL:
        return False
    return any(identify_resource(entry, issuer) == audience for entry in client.serves.split())


def _describe_access_token(token: str, client: AbstractClient, issuer: str) -> dict[str, Any]:
    claims = verify_access_token(token, find_key, issuer=issuer, audience=None)
    is_served_here = is_served(claims.audience, client, issuer)
    # First of all: with a token that came to a stranger nobody proves that its client has it.
    if not is_served_here and claims.client_id != client.client_id:
        raise InvalidToken("The access token is neither of this client nor for it.")
    principal_of(claims)
    # A client has no business in what an adapter tells the resource.
    return {**(claims.added if is_served_here else {}), **_description(claims)}


def _description(claims: AccessTokenClaims) -> dict[str, Any]:
    names = ("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time")
    payload = claims.as_dict()
    return {"active": True, "token_type": "Bearer", **{name: payload[name] for name in names if name in payload}}


def _describe_refresh_token(opaque: OpaqueToken, client: AbstractClient, issuer: str) -> dict[str, Any]:
    snapshot = _own_connection(opaque, client)
    if snapshot is None or not _would_be_taken(opaque, snapshot):
        return {"active": False}
    connection = snapshot.connection
    if connection.seen_generation < connection.generation:
        see(connection.pk, connection.generation)
    return {
        "active": True,
        "iss": issuer,
        "sub": connection.subject,
        "aud": connection.resource,
        "client_id": client.client_id,
        "scope": format_scope(connection.scopes.split()),
        "exp": int(connection.expires_at.timestamp()),
    }


def _own_connection(opaque: OpaqueToken, client: AbstractClient) -> Snapshot | None:
    snapshot = read_connection(opaque.connection_id) if opaque.kind == Kind.REFRESH else None
    if snapshot is None or snapshot.connection.client_id != client.pk:
        return None
    return snapshot if opaque.is_authentic(salt=snapshot.connection.salt, keys=mac_keys()) else None


def _would_be_taken(opaque: OpaqueToken, snapshot: Snapshot) -> bool:
    connection = snapshot.connection
    if connection.revoked_at is not None or snapshot.has_expired:
        return False
    if connection.user is None or not connection.user.is_active:
        return False
    # Only the present token is one that a refresh would surely take; a newer one, after a restored backup, is that too.
    return opaque.generation >= connection.generation
