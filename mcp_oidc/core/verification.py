"""Verification: whether an access token is good right now, and for whom."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Exists, OuterRef

from mcp_oidc.core.clock import Now
from mcp_oidc.core.keys import find_key
from mcp_oidc.core.sightings import see
from mcp_oidc.core.users import has_active_column
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import AbstractClient, ClientHost, Connection, Identity
from mcp_oidc.protocol.access_tokens import AccessTokenClaims
from mcp_oidc.protocol.access_tokens import verify_access_token as verify_claims


@dataclass(frozen=True)
class Principal:
    """Who calls: a user through a client, at one resource, with these scopes. The same object at every entry point."""

    subject: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str
    expires_at: int
    connection_id: uuid.UUID
    user_id: Any
    identity_id: int | None
    claims: Mapping[str, Any] = field(repr=False)

    def has_scopes(self, scopes: tuple[str, ...]) -> bool:
        """Whether the token carries all of `scopes`."""
        return set(scopes) <= set(self.scopes)

    @cached_property
    def user(self) -> AbstractBaseUser:
        """The Django user. Read when it is first asked for; from async code, use `sync_to_async`."""
        return get_user_model()._default_manager.get(pk=self.user_id)

    @cached_property
    def identity(self) -> Identity | None:
        """The identity at the IdP, with its claims. Read when it is first asked for."""
        return None if self.identity_id is None else Identity.objects.filter(pk=self.identity_id).first()

    @property
    def custom_data(self) -> dict[str, Any]:
        """What the adapter kept of the IdP's claims."""
        return dict(self.identity.custom_data) if self.identity else {}


def verify_access_token(token: str, *, issuer: str, resource: str | None) -> Principal:
    """The principal of an access token that is good for `resource` (None: for any of ours).

    A signature check, and one narrow query by primary key: connection, client and user are alive, and the same that
    the token names. It reads the database that is written to, so a revocation bites at once. Raises `InvalidToken`.
    """
    return principal_of(verify_claims(token, find_key, issuer=issuer, audience=resource))


def principal_of(claims: AccessTokenClaims) -> Principal:
    """The principal of a token that has been verified, if it still lives. Raises `InvalidToken`."""
    row = _living_row(claims.connection_id)
    if row is None or (row["subject"], row["client__client_id"], row["resource"]) != (
        claims.subject,
        claims.client_id,
        claims.audience,
    ):
        raise InvalidToken("The access token was revoked, or its user or client may no longer use it.")
    if row["generation"] < claims.generation:
        # A backup was restored; the refresh token that came with it moves the row forward.
        raise InvalidToken("The access token is not known any more.")
    if row["seen_generation"] < claims.generation:
        see(claims.connection_id, claims.generation)
    return _principal(claims, row)


def _living_row(connection_id: uuid.UUID) -> Mapping[str, Any] | None:
    living = Connection.objects.filter(pk=connection_id, revoked_at=None, expires_at__gt=Now())
    blocked_host = ClientHost.objects.filter(host=OuterRef("client__host"), trust=ClientHost.Trust.BLOCKED)
    return (
        living.filter(~Exists(blocked_host), client__deleted_at=None, **_active_user())
        .exclude(client__trust=AbstractClient.Trust.BLOCKED)
        .values("subject", "client__client_id", "resource", "generation", "seen_generation", "user_id", "identity_id")
        .first()
    )


def _active_user() -> dict[str, bool]:
    return {"user__is_active": True} if has_active_column(get_user_model()) else {}


def _principal(claims: AccessTokenClaims, row: Mapping[str, Any]) -> Principal:
    return Principal(
        subject=claims.subject,
        client_id=claims.client_id,
        scopes=claims.scopes,
        resource=claims.audience,
        expires_at=claims.expires_at,
        connection_id=claims.connection_id,
        user_id=row["user_id"],
        identity_id=row["identity_id"],
        claims=claims.extra,
    )
