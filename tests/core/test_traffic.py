"""Traffic: hours and days out of the tallies, in the time zone of whoever looks."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.core import traffic
from mcp_oidc.core.traffic import Period, Topic, read_traffic
from mcp_oidc.models import HourlyCount

pytestmark = pytest.mark.django_db

# Half past seven: in Kolkata it is one in the afternoon, in Honolulu the evening before.
NOW = datetime(2031, 5, 6, 7, 30, tzinfo=UTC)
THIS_HOUR = int(NOW.timestamp()) // 3600
ZONES = ["UTC", "Asia/Kolkata", "Pacific/Honolulu", "America/New_York"]


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic.time, "time", NOW.timestamp)


def add(hours_ago: int, kind: str, outcome: str, count: int) -> None:
    HourlyCount.objects.create(hour=THIS_HOUR - hours_ago, kind=kind, outcome=outcome, count=count)


def counts(periods: tuple[Period, ...], topic: Topic) -> list[int]:
    return [period.counts[topic] for period in periods]


def test_each_topic_is_the_sum_of_what_belongs_to_it() -> None:
    for kind, outcome, count in [
        ("login", "allowed", 1),
        ("login", "refused", 2),
        ("token.refused", "invalid_grant", 4),
        ("registration.refused", "access_denied", 8),
        ("client.registered", "refused", 16),
        ("connection.refreshed", "allowed", 32),
        ("connection.retried", "allowed", 64),
        ("resource.refused", "invalid_token", 128),
        ("resource.refused", "missing_token", 256),
        ("connection.revoked", "revoked", 512),
    ]:
        add(0, kind, outcome, count)
    expected = {
        Topic.LOGINS: 1,
        Topic.REFRESHES: 96,
        Topic.REFUSALS: 14,
        Topic.REFUSED_CALLS: 128,
        Topic.REVOCATIONS: 512,
    }
    found = read_traffic()
    assert (found.hours[-1].counts, found.days[-1].counts) == (expected, expected)


@pytest.mark.parametrize("zone", ZONES)
def test_all_hours_and_days_are_there_and_the_quiet_ones_too(zone: str) -> None:
    add(0, "login", "allowed", 1)
    add(23, "login", "allowed", 2)
    add(24, "login", "allowed", 4)
    with timezone.override(zone):
        found = read_traffic()
    assert counts(found.hours, Topic.LOGINS) == [2, *[0] * 22, 1]
    assert found.hours[-1].start.timestamp() == THIS_HOUR * 3600
    assert sum(counts(found.days, Topic.LOGINS)) == 7
    starts = [period.start for period in found.days]
    assert (len(starts), starts) == (30, sorted(set(starts)))
    assert all((start.hour, start.minute) == (0, 0) for start in starts)


@pytest.mark.parametrize(("zone", "yesterday"), [("UTC", 8), ("Asia/Kolkata", 13), ("Pacific/Honolulu", 22)])
def test_day_is_that_of_the_time_zone(zone: str, yesterday: int) -> None:
    add(yesterday - 1, "login", "allowed", 1)
    add(yesterday, "login", "allowed", 2)
    with timezone.override(zone):
        assert counts(read_traffic().days, Topic.LOGINS)[-2:] == [2, 1]


def test_days_before_the_thirty_are_left_out() -> None:
    add(29 * 24 + 7, "login", "allowed", 1)
    add(29 * 24 + 8, "login", "allowed", 2)
    with timezone.override("UTC"):
        assert counts(read_traffic().days, Topic.LOGINS)[0] == 1


def test_one_query_reads_all_of_it() -> None:
    for hour in range(100):
        add(hour, "login", "allowed", 1)
    with CaptureQueriesContext(connection) as queries:
        read_traffic()
    assert len(queries) == 1
