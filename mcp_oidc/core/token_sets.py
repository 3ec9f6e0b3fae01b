"""Token sets: what the token endpoint answers, computed from a connection and signed."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from mcp_oidc.adapter import get_adapter
from mcp_oidc.conf import app_settings
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.keys import key_ring
from mcp_oidc.models import AbstractClient, Connection
from mcp_oidc.protocol.access_tokens import AccessTokenClaims, sign_access_token
from mcp_oidc.protocol.claims import released_claims, token_hash
from mcp_oidc.protocol.jwts import sign_jwt
from mcp_oidc.protocol.opaque_tokens import Kind, make_token
from mcp_oidc.protocol.scopes import format_scope


@dataclass(frozen=True)
class TokenSet:
    """The answer of the token endpoint (RFC 6749 5.1, OpenID Connect Core 3.1.3.3)."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: str
    refresh_token: str | None = field(repr=False)
    id_token: str | None = field(repr=False)

    def as_dict(self) -> dict[str, Any]:
        """The JSON body. No member is null."""
        body = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
            "refresh_token": self.refresh_token,
            "id_token": self.id_token,
        }
        return {name: value for name, value in body.items() if value is not None}


def issue_tokens(
    connection: Connection,
    generation: int,
    client: AbstractClient,
    scopes: tuple[str, ...],
    *,
    issuer: str,
    with_id_token: bool,
) -> TokenSet:
    """The tokens of one generation of a connection. Nothing is stored, and nothing is good before the row has moved on.

    An ID token goes to those who have the scope openid.
    """
    now = int(time.time())
    lifetime = _lifetime(connection, generation, now)
    assert connection.user is not None  # noqa: S101  # a connection without one is refused before
    claims = AccessTokenClaims(
        issuer=issuer,
        subject=connection.subject,
        audience=connection.resource,
        client_id=client.client_id,
        scopes=scopes,
        issued_at=now,
        expires_at=now + lifetime,
        token_id=secrets.token_urlsafe(16),
        connection_id=connection.pk,
        generation=generation,
        extra=get_adapter().access_token_claims(connection.user, client),
        authenticated_at=int(connection.authenticated_at.timestamp()) if connection.authenticated_at else None,
    )
    access_token = sign_access_token(claims, key_ring().signing)
    return TokenSet(
        access_token=access_token,
        expires_in=lifetime,
        scope=format_scope(scopes),
        refresh_token=_refresh_token(connection, generation, client),
        id_token=_id_token(connection, claims, access_token) if with_id_token and "openid" in scopes else None,
    )


def _lifetime(connection: Connection, generation: int, now: int) -> int:
    return max(1, min(app_settings.ACCESS_TOKEN_LIFETIME, _connection_left(connection, generation, now)))


def _connection_left(connection: Connection, generation: int, now: int) -> int:
    """Seconds until the connection ends, if it is not used again. No token outlives it."""
    if generation == connection.generation:
        # The row does not move on for an answer that is given again.
        return int(connection.expires_at.timestamp()) - now
    lifetime, max_age = app_settings.REFRESH_TOKEN_LIFETIME, app_settings.CONNECTION_MAX_AGE
    if max_age is None:
        return lifetime
    return min(lifetime, int(connection.created_at.timestamp()) + max_age - now)


def _refresh_token(connection: Connection, generation: int, client: AbstractClient) -> str | None:
    if "refresh_token" not in client.grant_types:
        return None
    return make_token(Kind.REFRESH, connection.pk, generation, salt=connection.salt, key=mac_keys()[0])


def _id_token(connection: Connection, access: AccessTokenClaims, access_token: str) -> str:
    key = key_ring().signing
    claims: dict[str, Any] = {
        **released_claims(connection.identity.claims if connection.identity else {}, access.scopes),
        "iss": access.issuer,
        "sub": access.subject,
        # OpenID Connect Core 2: an ID token is for the client, never for a resource.
        "aud": access.client_id,
        "iat": access.issued_at,
        "exp": access.expires_at,
        "at_hash": token_hash(access_token, key.algorithm),
    }
    if connection.nonce:
        claims["nonce"] = connection.nonce
    if access.authenticated_at is not None:
        claims["auth_time"] = access.authenticated_at
    return sign_jwt(claims, key, typ="JWT")
