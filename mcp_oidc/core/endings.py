"""How connections end: in batches, each with the event of every connection in one short transaction."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import partial

from django.db import transaction
from django.db.models import Q

from mcp_oidc import signals
from mcp_oidc.core import audit
from mcp_oidc.core.abandoned_tokens import connections_ended
from mcp_oidc.core.clock import Now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.living_cache import forget_living
from mcp_oidc.models import Connection, Event

# Fewer than the 1,000 keys that MariaDB makes a table of, to join it with all connections.
BATCH_SIZE = 500


def end_connections(which: Q, reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End all connections that live when it is their turn. Returns how many ended.

    Killed half-way, it goes on where it was when it is called again.
    """
    return sum(end_all(keys, reason, caller=caller) for keys in _batches(which))


@retry_conflicts
def end_all(keys: Sequence[uuid.UUID], reason: str, *, caller: audit.Caller = audit.NOBODY) -> int:
    """End those of a batch that live. Returns how many ended."""
    with transaction.atomic():
        # Locked, so that each is told of once, by whoever ended it; by their keys and in their order, so that no two
        # wait for each other.
        living = Connection.objects.select_for_update().filter(pk__in=keys, revoked_at=None).order_by("pk")
        connections = list(living.only("pk", "user_id", "client_id", "identity_id", "subject"))
        ending = Connection.objects.filter(pk__in=[connection.pk for connection in connections])
        ending.update(revoked_at=Now(), revoked_reason=reason)
        forget_living([connection.pk for connection in connections])
        events = audit.record_each(Kind.CONNECTION_REVOKED, Outcome.REVOKED, connections, reason=reason, caller=caller)
        identity_ids = {connection.identity_id for connection in connections if connection.identity_id is not None}
        transaction.on_commit(partial(_announce, events, identity_ids))
    return len(connections)


def _batches(which: Q) -> Iterator[list[uuid.UUID]]:
    # Not the whole list first, which may be long, and not those that live over and over: a transaction may not see that
    # another one has ended them.
    living = Connection.objects.filter(which, revoked_at=None).order_by("pk").values_list("pk", flat=True)
    batch = list(living[:BATCH_SIZE])
    while batch:
        yield batch
        batch = list(living.filter(pk__gt=batch[-1])[:BATCH_SIZE])


def _announce(events: Sequence[Event], identity_ids: set[int]) -> None:
    for event in events:
        signals.connection_revoked.send_robust(
            sender=Connection,
            connection_id=event.connection_id,
            user_id=event.user_id,
            client_id=event.client_id,
            reason=event.reason,
        )
    connections_ended.send_robust(sender=Connection, identity_ids=identity_ids)
