"""The audit: every decision is an event, written in the transaction of what it tells."""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest

from mcp_oidc import signals
from mcp_oidc.core import tallies
from mcp_oidc.core.clock import Now
from mcp_oidc.models import AbstractClient, Connection, Event

logger = logging.getLogger("mcp_oidc.audit")

_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


@dataclass(frozen=True)
class Caller:
    """Where a request came from, as far as Django itself tells: no header of a proxy is believed here."""

    address: str | None = None
    agent: str = ""
    # The primary key of the staff member who acts in the admin.
    operator: str = ""

    @classmethod
    def of(cls, request: HttpRequest) -> Caller:
        """The sender of `request`, in values that fit the database, whatever was sent."""
        try:
            # Without the zone of a link-local address, which PostgreSQL does not take.
            address = str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "").partition("%")[0]))
        except ValueError:
            address = None
        return cls(address=address, agent=_UNPRINTABLE.sub("?", request.headers.get("User-Agent", ""))[:255])


NOBODY = Caller()


def record(
    kind: str,
    outcome: str,
    *,
    reason: str = "",
    user: AbstractBaseUser | None = None,
    client: AbstractClient | None = None,
    connection: Connection | None = None,
    subject: str = "",
    caller: Caller = NOBODY,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write an event; its signal and log line follow once the transaction has been committed.

    A connection brings its own user, client and subject, whose rows need not be loaded for it.
    """
    event = _event(kind, outcome, reason, connection, caller)
    event.user_id = user.pk if user is not None else event.user_id
    event.client_id = client.pk if client is not None else event.client_id
    event.client_name = client.name if client is not None else ""
    event.subject = subject or event.subject
    event.detail = {**(detail or {}), **event.detail}
    event.save(force_insert=True)
    _announce_later([event])


def record_each(
    kind: str, outcome: str, connections: Sequence[Connection], *, reason: str, caller: Caller = NOBODY
) -> Sequence[Event]:
    """Write one event for each of `connections`, as `record` does, and all of them at once."""
    events = [_event(kind, outcome, reason, connection, caller) for connection in connections]
    if transaction.get_connection().features.can_return_rows_from_bulk_insert:
        Event.objects.bulk_create(events)
    else:
        # MySQL tells no keys of rows that are inserted together, and receivers may ask for more of an event.
        for event in events:
            event.save(force_insert=True)
    _announce_later(events)
    return events


def _event(kind: str, outcome: str, reason: str, connection: Connection | None, caller: Caller) -> Event:
    return Event(
        created_at=Now(),
        kind=kind,
        outcome=outcome,
        reason=reason[:255],
        user_id=connection.user_id if connection else None,
        client_id=connection.client_id if connection else None,
        connection_id=connection.pk if connection else None,
        subject=connection.subject if connection else "",
        address=caller.address,
        agent=caller.agent,
        detail={"operator": caller.operator} if caller.operator else {},
    )


def _announce_later(events: Sequence[Event]) -> None:
    for event in events:
        # The row's time is the database's own: read back by a receiver that asks for it, and by no other.
        vars(event).pop("created_at", None)
    transaction.on_commit(lambda: _announce_each(events))


def _announce_each(events: Sequence[Event]) -> None:
    for event in events:
        tallies.count(event.kind, event.outcome)
        _announce(event)


def _announce(event: Event) -> None:
    logger.info(
        "%s %s",
        event.kind,
        event.outcome,
        extra={
            "event": event.kind,
            "outcome": event.outcome,
            "reason": event.reason,
            "user_id": event.user_id and str(event.user_id),
            "client_pk": event.client_id,
            "connection_id": event.connection_id and str(event.connection_id),
            "address": event.address,
        },
    )
    signals.event_recorded.send_robust(sender=Event, event=event)
