"""Cleanup: rows that nobody needs any more, deleted in batches. Killed half-way, it goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError, InterfaceError, router, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.batches import BATCH_SIZE, delete_in_batches
from mcp_oidc.core.clients import clients
from mcp_oidc.core.clock import Now, from_now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.key_rotation import delete_expired_keys
from mcp_oidc.core.living_cache import forget_living
from mcp_oidc.core.logins import forget_expired_logins
from mcp_oidc.core.sessions import forget_ended_sessions
from mcp_oidc.core.tallies import delete_old_tallies
from mcp_oidc.models import AbstractClient, Connection, Event, UsedAssertion

# Seconds that a connection is kept beyond its end, so that a late replay of its tokens still finds what it belongs to.
ENDED_CONNECTION_LIFETIME = 7 * 24 * 60 * 60


@dataclass(frozen=True)
class CleanupRun:
    """A cleanup that has ended, well or not, as its event tells."""

    event_id: int
    ended_at: datetime
    has_failed: bool
    # The name of what it failed with.
    reason: str


@contextmanager
def recorded_cleanup() -> Iterator[dict[str, int]]:
    """Keep an event of the cleanup that is done in the block: what it puts down as deleted, or that it failed.

    One that is killed leaves none.
    """
    deleted: dict[str, int] = {}
    try:
        yield deleted
    except Exception as error:
        # What went wrong is told even where it cannot be written down.
        with suppress(DatabaseError, InterfaceError):
            audit.record(Kind.CLEANUP, Outcome.FAILED, reason=type(error).__name__, detail={"deleted": deleted})
        raise
    audit.record(Kind.CLEANUP, Outcome.FINISHED, detail={"deleted": deleted})


def last_cleanup() -> CleanupRun | None:
    """The cleanup that ended last, None where no event tells of one."""
    events = Event.objects.using(router.db_for_write(Event)).filter(kind=Kind.CLEANUP).order_by("-created_at")
    event = events.only("pk", "created_at", "outcome", "reason").first()
    if event is None:
        return None
    return CleanupRun(event.pk, event.created_at, event.outcome == Outcome.FAILED, event.reason)


def sweep(*, batch_size: int = BATCH_SIZE) -> Iterator[tuple[str, int]]:
    """Delete all that has expired, and tell after each step what was deleted, and how many."""
    # Connections first: what is left of them for the clients to take along is then little.
    yield "ended connections", delete_ended_connections(batch_size=batch_size)
    yield "registered clients", delete_expired_clients(batch_size=batch_size)
    yield "clients with a metadata document", delete_unused_cimd_clients(batch_size=batch_size)
    yield "unfinished logins", forget_expired_logins(batch_size=batch_size)
    yield "login sessions", forget_ended_sessions(batch_size=batch_size)
    yield "used assertions", forget_used_assertions(batch_size=batch_size)
    yield "expired signing keys", delete_expired_keys()
    yield "events", delete_old_events(batch_size=batch_size)
    yield "hourly counts", delete_old_tallies(batch_size=batch_size)


def delete_ended_connections(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete connections that expired a week ago. Returns how many. Those that were revoked expire like all others."""
    ended = Connection.objects.filter(expires_at__lt=from_now(-ENDED_CONNECTION_LIFETIME))
    return delete_in_batches(ended, batch_size=batch_size)


def delete_expired_clients(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete registered clients that were never used for CLIENT_UNUSED_LIFETIME, or not for CLIENT_LIFETIME.

    Returns how many. They register anew at their next use, as clients do that are told invalid_client.
    """
    unused = never_used_clients(app_settings.CLIENT_UNUSED_LIFETIME)
    forgotten = _deletable_clients(AbstractClient.RegistrationSource.DCR).filter(
        # A tombstone of one that was in use stays: somebody ended it for good.
        deleted_at=None,
        last_used_at__lt=from_now(-app_settings.CLIENT_LIFETIME),
    )
    return delete_clients(unused, batch_size=batch_size) + delete_clients(forgotten, batch_size=batch_size)


def delete_unused_cimd_clients(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete clients whose metadata document has expired and which nobody is connected with. Returns how many.

    They are known again at their next request. A client that somebody decided about (trusted, blocked, deleted) stays,
    because the decision would be lost with its row.
    """
    source = AbstractClient.RegistrationSource.CIMD
    return delete_clients(
        _deletable_clients(source).filter(deleted_at=None, cimd_expires_at__lt=Now()), batch_size=batch_size
    )


def forget_used_assertions(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete the marks of assertions and logout tokens that would now be refused for their age. Returns how many."""
    return delete_in_batches(UsedAssertion.objects.filter(expires_at__lte=Now()), batch_size=batch_size)


def delete_old_events(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete events that are older than EVENT_LIFETIME. Returns how many."""
    lifetime = app_settings.EVENT_LIFETIME
    if lifetime is None:
        return 0
    return delete_in_batches(Event.objects.filter(created_at__lt=from_now(-lifetime)), batch_size=batch_size)


def never_used_clients(lifetime: int) -> QuerySet[AbstractClient]:
    """Clients that registered themselves more than `lifetime` seconds ago, and that no token was ever issued to.

    Those that were deleted are among them: their random ids do not come back, and whoever registers and deletes by
    turns must not fill the table.
    """
    never_used = _deletable_clients(AbstractClient.RegistrationSource.DCR).filter(last_used_at=None)
    return never_used.filter(created__lt=from_now(-lifetime))


def delete_clients(candidates: QuerySet[AbstractClient], *, batch_size: int = BATCH_SIZE) -> int:
    """Delete the clients that are candidates and still are once they are locked. Returns how many."""
    deleted = 0
    while (count := _delete_batch(candidates, batch_size)) is not None:
        deleted += count
    return deleted


@retry_conflicts
def _delete_batch(candidates: QuerySet[AbstractClient], size: int) -> int | None:
    with transaction.atomic():
        # Locked, then looked at again: a connection opened meanwhile is seen, or waits for the lock.
        batch = [client.pk for client in candidates.order_by("pk").select_for_update()[:size]]
        unused = list(candidates.filter(pk__in=batch).values_list("pk", flat=True))
        clients().filter(pk__in=unused).delete()
        forget_living()
    return len(unused) if batch else None


def _deletable_clients(source: str) -> QuerySet[AbstractClient]:
    living = Connection.objects.filter(client=OuterRef("pk"), revoked_at=None, expires_at__gt=Now())
    is_undecided = Q(registration_source=source, trust=AbstractClient.Trust.NONE)
    return clients().filter(~Exists(living), is_undecided)
