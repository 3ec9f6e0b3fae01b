"""Verification: whether an access token is good right now, and for whom."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser

from mcp_oidc.conf import app_settings
from mcp_oidc.core.checked_tokens import checked_claims
from mcp_oidc.core.clients import clients
from mcp_oidc.core.keys import find_known_key
from mcp_oidc.core.living import living_row, living_rows, recalled_row
from mcp_oidc.core.living_cache import LivingRow
from mcp_oidc.core.sightings import see
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.access_tokens import AccessTokenClaims

# What `living_row` does, without holding up whoever awaits it: connection and generation to the database's row.
RowReader = Callable[[uuid.UUID, int], Awaitable[LivingRow | None]]


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
        """Whether the token carries all of `scopes`, or wider ones that imply them."""
        return set(self.scopes).issuperset(scopes) or set(self.effective_scopes).issuperset(scopes)

    @property
    def effective_scopes(self) -> tuple[str, ...]:
        """What the token may do: `scopes`, and what they imply by IMPLIED_SCOPES."""
        return app_settings.with_implied(self.scopes)

    @cached_property
    def user(self) -> AbstractBaseUser:
        """The Django user. Read when it is first asked for; from async code, use `sync_to_async`."""
        return get_user_model()._default_manager.get(pk=self.user_id)

    @cached_property
    def client(self) -> AbstractClient:
        """The MCP client, as it registered. Read when it is first asked for."""
        return clients().get(client_id=self.client_id)

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

    A signature check, which is remembered, and one narrow query by primary key: connection, client and user are alive,
    and the same that the token names. It reads the database that is written to, so a revocation bites at once; or
    VERIFICATION_CACHE. Raises `InvalidToken`.
    """
    return principal_of(checked_claims(token, issuer=issuer, audience=resource))


async def averify_access_token(token: str, *, issuer: str, resource: str, read_row: RowReader) -> Principal:
    """What `verify_access_token` returns and raises, for an event loop: it waits for nothing but `read_row`.

    Nor for that, where VERIFICATION_CACHE remembers the row. Raises `UnknownKey` where keys have to be read first.
    """
    claims = checked_claims(token, issuer=issuer, audience=resource, find_key=find_known_key)
    row = recalled_row(claims.connection_id, generation=claims.generation)
    if row is not None:
        return _admit(claims, row)
    return _admit_and_see(claims, await read_row(claims.connection_id, claims.generation))


def principal_of(claims: AccessTokenClaims) -> Principal:
    """The principal of a token that has been verified, if it still lives. Raises `InvalidToken`."""
    return _admit_and_see(claims, living_row(claims.connection_id, generation=claims.generation))


def principal_from_database(claims: AccessTokenClaims) -> Principal:
    """What `principal_of` returns and raises, whatever VERIFICATION_CACHE remembers."""
    rows = living_rows({claims.connection_id: claims.generation})
    return _admit_and_see(claims, rows.get(claims.connection_id))


def _admit_and_see(claims: AccessTokenClaims, row: LivingRow | None) -> Principal:
    principal = _admit(claims, row)
    if row is not None and row.seen_generation < claims.generation:
        see(claims.connection_id, claims.generation)
    return principal


def _admit(claims: AccessTokenClaims, row: LivingRow | None) -> Principal:
    if row is None or (row.subject, row.client_id, row.resource) != (
        claims.subject,
        claims.client_id,
        claims.audience,
    ):
        raise InvalidToken("The access token was revoked, or its user or client may no longer use it.")
    if row.generation < claims.generation:
        # A backup was restored; the refresh token that came with it moves the row forward.
        raise InvalidToken("The access token is not known any more.")
    return _principal(claims, row)


def _principal(claims: AccessTokenClaims, row: LivingRow) -> Principal:
    return Principal(
        subject=claims.subject,
        client_id=claims.client_id,
        scopes=claims.scopes,
        resource=claims.audience,
        expires_at=claims.expires_at,
        connection_id=claims.connection_id,
        user_id=row.user_id,
        identity_id=row.identity_id,
        # They are remembered for later requests, and whoever gets these may change them.
        claims=deepcopy(claims.extra) if claims.is_nested else dict(claims.extra),
    )
