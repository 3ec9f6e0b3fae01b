"""Traffic: what the tallies say of the last hours and days, for charts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from django.db.models import Q, Sum
from django.utils import timezone

from mcp_oidc.core.tallies import HOUR
from mcp_oidc.models import HourlyCount

HOURS = 24
DAYS = 30


class Topic(StrEnum):
    """What is counted."""

    LOGINS = "logins"
    REFRESHES = "refreshes"
    # Logins, registrations and token requests that were refused.
    REFUSALS = "refusals"
    # Calls of an endpoint with a token that is not, or no more, good for it.
    REFUSED_CALLS = "refused_calls"
    REVOCATIONS = "revocations"


_TALLIES = {
    Topic.LOGINS: Q(kind="login", outcome="allowed"),
    Topic.REFRESHES: Q(kind__in=["connection.refreshed", "connection.retried"]),
    # A registration that is refused as an event is counted as an answer, too: once is enough.
    Topic.REFUSALS: Q(kind="login", outcome="refused") | Q(kind__in=["token.refused", "registration.refused"]),
    # The first call of every client comes without a token.
    Topic.REFUSED_CALLS: Q(kind="resource.refused") & ~Q(outcome="missing_token"),
    Topic.REVOCATIONS: Q(kind="connection.revoked"),
}


@dataclass(frozen=True)
class Period:
    """An hour or a day of the current time zone, and how often each happened in it."""

    start: datetime
    counts: Mapping[Topic, int]


@dataclass(frozen=True)
class Traffic:
    """The last 24 hours and 30 days, in order, the quiet ones too. The last of each has not ended."""

    hours: tuple[Period, ...]
    days: tuple[Period, ...]


def read_traffic() -> Traffic:
    """The traffic until now, by one query of a bounded number of rows. The last seconds may be missing."""
    this_hour = int(time.time()) // HOUR
    today = _time(this_hour).date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    hours = range(this_hour - HOURS + 1, this_hour + 1)
    # Nowhere is a day so much longer than 24 hours.
    rows = _rows(this_hour - (DAYS + 1) * 24)
    by_hour = {hour: counts for hour, counts in rows if hour in hours}
    by_day: dict[date, dict[Topic, int]] = {}
    for hour, counts in rows:
        # An hour belongs to the day that it begins in, in zones that are half an hour off, too.
        known = by_day.setdefault(_time(hour).date(), dict.fromkeys(Topic, 0))
        for topic, number in counts.items():
            known[topic] += number
    nothing = dict.fromkeys(Topic, 0)
    return Traffic(
        hours=tuple(Period(_time(hour), by_hour.get(hour, nothing)) for hour in hours),
        days=tuple(Period(_midnight(day), by_day.get(day, nothing)) for day in days),
    )


def _rows(first: int) -> list[tuple[int, dict[Topic, int]]]:
    sums = {topic.value: Sum("count", filter=tallies, default=0) for topic, tallies in _TALLIES.items()}
    by_hour = HourlyCount.objects.filter(hour__gte=first).values("hour").annotate(**sums).order_by("hour")
    rows = by_hour.values_list("hour", *sums)
    return [(hour, dict(zip(Topic, numbers, strict=True))) for hour, *numbers in rows]


def _time(hour: int) -> datetime:
    return datetime.fromtimestamp(hour * HOUR, tz=timezone.get_current_timezone())


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=timezone.get_current_timezone())
