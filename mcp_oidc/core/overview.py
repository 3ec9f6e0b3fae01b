"""The overview: how many users, clients and connections there are, which clients are used most, what was refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from mcp_oidc.core.clients import clients
from mcp_oidc.core.clock import Now
from mcp_oidc.models import Connection, Event

# Seconds for which the numbers are kept: counting all living connections takes a large database a while.
KEPT_SECONDS = 60
# With the form of what is kept: a new version must not meet what an old one wrote.
_CACHE_KEY = "mcp_oidc.overview.1"
_RECENTLY = timedelta(days=1)
_MAX_BUSIEST = 10
_MAX_EVENTS = 10


@dataclass(frozen=True)
class Reach:
    """How many users have how many connections by how many clients. Machine clients have no users."""

    users: int
    clients: int
    connections: int


@dataclass(frozen=True)
class BusyClient:
    """A client and those of its connections that were used within the last day."""

    pk: int
    name: str
    client_id: str
    users: int
    connections: int
    last_used_at: datetime


@dataclass(frozen=True)
class Overview:
    """The numbers as they were at `as_of`."""

    as_of: datetime
    # All that could be used now.
    living: Reach
    # Those that were used within the last day.
    recent: Reach
    busiest: tuple[BusyClient, ...]


def read_overview() -> Overview:
    """The numbers, at most KEPT_SECONDS old. Three queries where they have to be counted anew."""
    kept: Mapping[str, Any] | None = cache.get(_CACHE_KEY)
    if kept is not None:
        return _from_cache(kept)
    overview = _count()
    # Plain values: what is pickled by class could not be read by another version.
    cache.set(_CACHE_KEY, asdict(overview), KEPT_SECONDS)
    return overview


def forget_overview() -> None:
    """Count anew at the next use."""
    cache.delete(_CACHE_KEY)


def recent_refusals() -> list[Event]:
    """The newest events of what was refused: logins, registrations, codes and tokens that were used again.

    Users who decline are left out: that is no refusal of ours.
    """
    refused = Event.objects.filter(outcome="refused").exclude(kind="consent")
    # Not the registered metadata, which may be long.
    rows = refused.select_related("user", "client").defer("client__metadata")
    return list(rows.order_by("-created_at")[:_MAX_EVENTS])


def _count() -> Overview:
    as_of = timezone.now()
    recently = Q(last_used_at__gt=as_of - _RECENTLY)
    living = Connection.objects.filter(revoked_at=None, expires_at__gt=Now())
    numbers = living.aggregate(
        users=Count("user", distinct=True),
        clients=Count("client", distinct=True),
        connections=Count("*"),
        recent_users=Count("user", distinct=True, filter=recently),
        recent_clients=Count("client", distinct=True, filter=recently),
        recent_connections=Count("pk", filter=recently),
    )
    return Overview(
        as_of=as_of,
        living=_reach(numbers, ""),
        recent=_reach(numbers, "recent_"),
        busiest=_busiest(living.filter(recently)),
    )


def _reach(numbers: Mapping[str, int], prefix: str) -> Reach:
    return Reach(**{name: numbers[prefix + name] for name in ("users", "clients", "connections")})


def _busiest(connections: QuerySet[Connection]) -> tuple[BusyClient, ...]:
    of_clients = connections.order_by().values("client")
    counted = of_clients.annotate(
        users=Count("user", distinct=True), connections=Count("*"), last_used_at=Max("last_used_at")
    )
    # The key settles a tie, so that the page is the same when it is loaded again.
    rows = list(counted.order_by("-users", "-connections", "client")[:_MAX_BUSIEST])
    named = clients().only("name", "client_id").in_bulk([row["client"] for row in rows])
    return tuple(
        BusyClient(
            pk=row["client"],
            name=named[row["client"]].name,
            client_id=named[row["client"]].client_id,
            users=row["users"],
            connections=row["connections"],
            last_used_at=row["last_used_at"],
        )
        for row in rows
        # Not one that was deleted between the two queries.
        if row["client"] in named
    )


def _from_cache(kept: Mapping[str, Any]) -> Overview:
    return Overview(
        as_of=kept["as_of"],
        living=Reach(**kept["living"]),
        recent=Reach(**kept["recent"]),
        busiest=tuple(BusyClient(**client) for client in kept["busiest"]),
    )
