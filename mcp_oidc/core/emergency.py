"""Emergency: whatever began before a moment ends, of one user, of one client, or of everybody.

A restored backup brings back what had been revoked since it was made; nothing but this takes it away again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.db.models import Q, QuerySet

from mcp_oidc.core import audit
from mcp_oidc.core.batches import delete_in_batches
from mcp_oidc.core.clock import Now
from mcp_oidc.core.endings import BATCH_SIZE, end_connections
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.sessions import end_sessions
from mcp_oidc.models import AbstractClient, Connection, Consent, LoginSession

REASON = "emergency"


@dataclass(frozen=True)
class Reach:
    """Whose access ends: that of a user, of a client, or with neither that of everybody; if it began before `before`.

    Without `before` it is whatever there is when its turn comes.
    """

    user: AbstractBaseUser | None = None
    client: AbstractClient | None = None
    before: datetime | None = None

    def connections(self) -> Q:
        """Those that were approved before then."""
        return self._whose(user="user", client="client") & self._began("created_at")

    def consents(self) -> Q:
        """Those that were given, or given again, before then."""
        return self._whose(user="user", client="client") & self._began("approved_at")

    def logins(self) -> Q | None:
        """Those at the identity provider. None: no client has any."""
        if self.client is not None:
            return None
        return self._whose(user="identity__user") & self._began("created_at")

    def _whose(self, *, user: str, client: str = "") -> Q:
        if self.user is not None:
            return Q(**{user: self.user.pk})
        return Q(**{client: self.client.pk}) if self.client is not None else Q()

    def _began(self, column: str) -> Q:
        return Q(**{f"{column}__lt": self.before}) if self.before is not None else Q()


@dataclass(frozen=True)
class Extent:
    """How much ends, or has ended."""

    connections: int
    consents: int
    logins: int


def extent_of(reach: Reach) -> Extent:
    """What would end now."""
    logins = reach.logins()
    return Extent(
        connections=_living(reach).count(),
        consents=Consent.objects.filter(reach.consents()).count(),
        logins=0 if logins is None else LoginSession.objects.filter(logins, ended_at=None).count(),
    )


def end_everything(reach: Reach, *, caller: audit.Caller = audit.NOBODY) -> Extent:
    """End it, in short transactions, and return what ended. Killed half-way, it goes on where it was when called again.

    What users approved and their logins go first, so that nobody comes back unasked meanwhile. The event that begins
    it is written before anything else.
    """
    _announce(reach, caller)
    consents = delete_in_batches(Consent.objects.filter(reach.consents()))
    logins = reach.logins()
    ended = 0 if logins is None else sum(end_sessions(batch, REASON, caller=caller) for batch in _batches(logins))
    return Extent(end_connections(reach.connections(), REASON, caller=caller), consents, ended)


def _announce(reach: Reach, caller: audit.Caller) -> None:
    before = reach.before.isoformat() if reach.before is not None else ""
    with transaction.atomic():
        audit.record(
            Kind.EMERGENCY_REVOKED,
            Outcome.REVOKED,
            user=reach.user,
            client=reach.client,
            caller=caller,
            detail={"before": before} if before else {},
        )


def _living(reach: Reach) -> QuerySet[Connection]:
    return Connection.objects.filter(reach.connections(), revoked_at=None, expires_at__gt=Now())


def _batches(logins: Q) -> Iterator[Q]:
    living = LoginSession.objects.filter(logins, ended_at=None).order_by("pk").values_list("pk", flat=True)
    batch = list(living[:BATCH_SIZE])
    while batch:
        yield Q(pk__in=batch)
        batch = list(living.filter(pk__gt=batch[-1])[:BATCH_SIZE])
