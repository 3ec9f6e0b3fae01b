"""The database's clock: what it writes compares right with what it says now, and with what Django writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.core.clock import Now, connection_end, from_now
from mcp_oidc.models import Connection
from tests.core.passing import let_pass
from tests.factories import Opened

pytestmark = pytest.mark.django_db


def expires(opened: Opened) -> datetime:
    return Connection.objects.values_list("expires_at", flat=True).get(pk=opened.connection.pk)


def is_over(opened: Opened) -> bool:
    return Connection.objects.filter(pk=opened.connection.pk, expires_at__lte=Now()).exists()


@pytest.mark.parametrize("zone", ["+00:00", "+05:30", "-11:00"])
def test_clock_is_utc_whatever_the_session_says(opened: Opened, zone: str) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "mysql":
            cursor.execute("SET time_zone = %s", [zone])
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL TIME ZONE INTERVAL %s HOUR TO MINUTE", [zone])
        Connection.objects.update(expires_at=Now())
        now = Connection.objects.annotate(now=Now()).get().now
        if connection.vendor == "mysql":
            cursor.execute("SET time_zone = @@global.time_zone")
    for moment in (expires(opened), now):
        assert abs(timezone.now() - moment) < timedelta(seconds=60)


@pytest.mark.parametrize("seconds", [1, 60, 30 * 24 * 3600])
def test_time_from_now_is_over_when_it_has_passed(opened: Opened, seconds: int) -> None:
    Connection.objects.update(expires_at=from_now(seconds))
    opened.connection.refresh_from_db()
    assert not is_over(opened)
    let_pass(seconds + 1, opened.connection)
    assert is_over(opened)


@pytest.mark.parametrize("microsecond", [0, 1, 1000, 999_999])
def test_time_that_django_wrote_compares_right(opened: Opened, microsecond: int) -> None:
    # SQLite compares text, and Django writes no fraction where there is none.
    for offset, over in ((-2, True), (2, False)):
        moment = (timezone.now() + timedelta(seconds=offset)).replace(microsecond=microsecond)
        Connection.objects.update(expires_at=moment)
        assert is_over(opened) is over


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_connection_ends_by_its_age_or_its_idleness_whichever_is_sooner(
    opened: Opened, settings: LazySettings, microsecond: int
) -> None:
    created = timezone.now().replace(microsecond=microsecond) - timedelta(days=10)
    Connection.objects.update(created_at=created)
    for max_age, expected in (
        (None, timezone.now() + timedelta(days=30)),
        (86400 * 11, created + timedelta(days=11)),
        (86400 * 90, timezone.now() + timedelta(days=30)),
    ):
        settings.MCP_OIDC = {**settings.MCP_OIDC, "CONNECTION_MAX_AGE": max_age}
        Connection.objects.update(expires_at=connection_end())
        assert abs(expires(opened) - expected) < timedelta(seconds=60)


def test_least_of_two_times_is_the_earlier_one_to_the_microsecond(opened: Opened, settings: LazySettings) -> None:
    # One of them has no fraction, as text on SQLite.
    settings.MCP_OIDC = {**settings.MCP_OIDC, "CONNECTION_MAX_AGE": 1, "REFRESH_TOKEN_LIFETIME": 10**8}
    created = datetime(2026, 1, 1, tzinfo=UTC)
    Connection.objects.update(created_at=created)
    Connection.objects.update(expires_at=connection_end())
    assert expires(opened) == created + timedelta(seconds=1)


def test_deadline_is_set_by_the_database_and_not_by_this_machine(opened: Opened) -> None:
    with CaptureQueriesContext(connection) as queries:
        Connection.objects.update(expires_at=from_now(60))
    functions = {"sqlite": "STRFTIME", "postgresql": "STATEMENT_TIMESTAMP()", "mysql": "UTC_TIMESTAMP(6)"}
    assert functions[connection.vendor] in queries.captured_queries[0]["sql"]
