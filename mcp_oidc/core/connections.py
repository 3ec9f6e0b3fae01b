"""Connections: read with all that decides whether they are alive, and moved on."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, F, QuerySet, When

from mcp_oidc.core.clock import Now, connection_end
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.models import Connection


@dataclass(frozen=True)
class Snapshot:
    """A connection as it stood at `now`, by the database's clock."""

    connection: Connection
    now: datetime
    # Whether there are tokens of the IdP for the identity. A login brings some, and who has lost access keeps none.
    has_idp_tokens: bool
    # When the IdP was last asked for them. None where it cannot be asked: it gave no refresh token.
    idp_asked_at: datetime | None

    @property
    def has_expired(self) -> bool:
        return self.connection.expires_at <= self.now

    @property
    def since_rotation(self) -> timedelta:
        """How long ago the present generation was issued."""
        return self.now - (self.connection.rotated_at or self.now)

    @property
    def since_previous_rotation(self) -> timedelta:
        """How long ago the generation before the present one was issued."""
        return self.now - (self.connection.previous_rotated_at or self.now)


def read_connection(connection_id: uuid.UUID) -> Snapshot | None:
    """A connection with its user and identity, in one query."""
    asked_at = Case(When(identity__token_set__has_refresh_token=True, then=F("identity__token_set__obtained_at")))
    rows = Connection.objects.select_related("user", "identity").annotate(
        now=Now(), idp_tokens=F("identity__token_set"), idp_asked_at=asked_at
    )
    found = rows.filter(pk=connection_id).first()
    return Snapshot(found, found.now, found.idp_tokens is not None, found.idp_asked_at) if found is not None else None


def unused_codes() -> QuerySet[Connection]:
    """Connections whose code can still be redeemed."""
    return Connection.objects.filter(generation=0, revoked_at=None, code_expires_at__gt=Now())


def redeem(connection: Connection) -> bool:
    """Use the code up. One caller wins, on every database."""
    unused = unused_codes().filter(pk=connection.pk)
    return bool(unused.update(generation=1, rotated_at=Now(), last_used_at=Now(), expires_at=connection_end()))


@retry_conflicts
def advance(connection: Connection, generation: int) -> bool:
    """Move on from the generation that was read to `generation`. One caller wins, on every database."""
    current = Connection.objects.filter(pk=connection.pk, generation=connection.generation, revoked_at=None)
    return bool(
        current.update(
            generation=generation,
            # In this order: MySQL works off assignments one by one, each seeing those before it.
            previous_rotated_at=F("rotated_at"),
            rotated_at=Now(),
            last_used_at=Now(),
            expires_at=connection_end(),
        )
    )


def note_seen(connection_id: uuid.UUID, generation: int) -> None:
    """Remember that tokens of this generation were used: the client has them, so it needs no retry of the last."""
    Connection.objects.filter(pk=connection_id, seen_generation__lt=generation).update(
        seen_generation=generation, last_used_at=Now()
    )
