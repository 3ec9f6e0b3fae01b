"""Tallies: counted without the database, and added up in it beside the requests."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import tallies
from mcp_oidc.core.audit import record
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.issuing import RefreshRequest, refresh
from mcp_oidc.core.tallies import HOUR, Tally, count, delete_old_tallies, flush, hourly, totals
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.models import HourlyCount
from tests.core.parallel import THREADS, in_parallel
from tests.factories import ISSUER, Opened

DAY = 24 * HOUR
# In the middle of an hour.
NOW = datetime(2031, 5, 6, 7, 30, tzinfo=UTC)
THIS_HOUR = NOW.replace(minute=0)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the process, in a list of one to be changed."""
    now = [NOW.timestamp()]
    monkeypatch.setattr(tallies.time, "time", lambda: now[0])
    return now


def read(since: datetime = THIS_HOUR) -> list[tuple[str, str, int]]:
    flush()
    return [(tally.kind, tally.outcome, tally.count) for tally in hourly(since)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("tallies")
def test_counting_asks_the_database_nothing_and_flushing_adds_up() -> None:
    with CaptureQueriesContext(connection) as queries:
        for _ in range(5):
            count("login", "allowed")
        count("login", "refused", 3)
    assert len(queries) == 0
    assert read() == [("login", "allowed", 5), ("login", "refused", 3)]
    count("login", "allowed")
    assert read() == [("login", "allowed", 6), ("login", "refused", 3)]
    with CaptureQueriesContext(connection) as queries:
        flush()
    assert len(queries) == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("tallies")
def test_hours_are_kept_apart_and_read_in_order(clock: list[float]) -> None:
    for hours in (0, 1, 25):
        clock[0] = NOW.timestamp() + hours * HOUR
        count("login", "allowed", hours + 1)
    flush()
    assert hourly(THIS_HOUR) == [
        Tally(THIS_HOUR + timedelta(hours=hours), "login", "allowed", hours + 1) for hours in (0, 1, 25)
    ]
    # The hour that has begun before is left out: a part of it would look like the whole.
    assert [tally.count for tally in hourly(NOW)] == [2, 26]


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_is_not_counted() -> None:
    with transaction.atomic():
        count("login", "allowed")
        transaction.set_rollback(True)
    with transaction.atomic():
        count("login", "refused")
        assert read() == []
    assert read() == [("login", "refused", 1)]


@pytest.mark.django_db(transaction=True)
def test_each_event_is_counted_once_it_is_committed() -> None:
    record(Kind.LOGIN, Outcome.REFUSED, reason="whatever was said")
    assert read() == [("login", "refused", 1)]


@pytest.mark.django_db(transaction=True)
def test_routine_refresh_is_counted(opened: Opened, token_set: TokenSet, caller: Any) -> None:
    asked = RefreshRequest(refresh_token=str(token_set.refresh_token), scopes=(), resource=None)
    refresh(asked, opened.client, issuer=ISSUER, caller=caller)
    assert ("connection.refreshed", "allowed", 1) in read()


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("tallies")
def test_processes_that_write_at_once_lose_no_count() -> None:
    def work() -> None:
        mine = tallies._Counter()
        for _ in range(3):
            for kind in ("a", "b", "c"):
                mine.add(kind, "allowed", 1)
            mine.flush()
        # Nothing was put back for later.
        assert not mine._sums

    in_parallel(work)
    assert read() == [(kind, "allowed", 3 * THREADS) for kind in ("a", "b", "c")]


@pytest.mark.django_db(transaction=True)
def test_threads_of_a_process_lose_no_count() -> None:
    in_parallel(lambda: [count("a", "allowed") for _ in range(500)])
    assert read() == [("a", "allowed", 500 * THREADS)]


@pytest.mark.django_db(transaction=True)
def test_sums_wait_for_a_database_that_is_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = tallies._add

    def fail(key: Any, number: int) -> None:
        if key.kind == "b" and key.hour:
            raise OperationalError("server closed the connection unexpectedly")
        real(key, number)

    for kind in ("a", "b", "c"):
        count(kind, "allowed")
    with monkeypatch.context() as patch:
        patch.setattr(tallies, "_add", fail)
        assert read() == [("a", "allowed", 1)]
    assert "could not write the tallies" in caplog.text
    count("b", "allowed")
    assert read() == [("a", "allowed", 1), ("b", "allowed", 2), ("c", "allowed", 1)]
    assert list(totals().values()) == [1, 2, 1]


@pytest.mark.django_db(transaction=True)
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each has its hour and the sum since the beginning.
    monkeypatch.setattr(tallies, "MAX_WAITING", 4)
    for kind in ("a", "b", "c", "a"):
        count(kind, "allowed")
    assert read() == [("a", "allowed", 2), ("b", "allowed", 1)]


@pytest.mark.django_db(transaction=True)
def test_counts_of_a_test_database_are_not_written_to_the_one_that_takes_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(connection.settings_dict, "NAME", "a test database")
        count("login", "allowed")
    assert read() == []


@pytest.mark.django_db(transaction=True)
def test_sums_are_written_by_a_thread_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    written = threading.Event()
    mine = tallies._Counter()
    real = tallies._add

    def add(key: Any, number: int) -> None:
        real(key, number)
        written.set()

    monkeypatch.setattr(tallies, "FLUSH_SECONDS", 0.001)
    monkeypatch.setattr(tallies, "_add", add)
    mine.add("a", "allowed", 1)
    assert written.wait(30)
    mine.finish(30)
    assert mine._thread is not None
    assert not mine._thread.is_alive()
    assert [row.count for row in HourlyCount.objects.all()] == [1, 1]


@pytest.mark.django_db(transaction=True)
def test_process_that_ends_writes_its_last_sums() -> None:
    mine = tallies._Counter()
    mine.add("a", "allowed", 2)
    mine.finish(30)
    assert [row.count for row in HourlyCount.objects.all()] == [2, 2]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_process_does_not_write_what_its_parent_counted() -> None:
    count("a", "allowed")
    connections.close_all()
    child = os.fork()
    if child == 0:
        os._exit(1 if tallies._counter._sums or tallies._counter._thread else 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert read() == [("a", "allowed", 1)]


@pytest.mark.django_db
def test_reading_costs_one_statement_and_no_more_rows_than_hours_and_kinds() -> None:
    HourlyCount.objects.bulk_create(
        HourlyCount(hour=int(THIS_HOUR.timestamp()) // HOUR - back, kind=kind, outcome="allowed", count=10**12)
        for back in range(40)
        for kind in ("a", "b")
    )
    with CaptureQueriesContext(connection) as queries:
        found = hourly(THIS_HOUR - timedelta(hours=23))
    assert len(queries) == 1
    assert len(found) == 48


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("metrics")
def test_totals_never_fall(clock: list[float]) -> None:
    for hours in (0, 500 * 24):
        clock[0] = NOW.timestamp() + hours * HOUR
        count("login", "allowed", 2)
        flush()
    assert delete_old_tallies() == 1
    assert totals() == {("login", "allowed"): 4}
    assert [tally.count for tally in hourly(datetime(1970, 1, 1, tzinfo=UTC))] == [2]


@pytest.mark.django_db
def test_old_tallies_are_deleted(clock: list[float]) -> None:
    for days in (0, 399, 401):
        HourlyCount.objects.create(hour=int(NOW.timestamp() - days * DAY) // HOUR, kind="a", outcome="b", count=days)
    assert delete_old_tallies(batch_size=1) == 1
    assert sorted(row.count for row in HourlyCount.objects.all()) == [0, 399]


@pytest.mark.django_db(transaction=True)
def test_an_outcome_that_is_too_long_is_cut_and_holds_up_no_other() -> None:
    count("a.first", "x" * 40)
    count("z.last", "ok")
    flush()
    assert totals()["a.first", "x" * 32] == 1
    assert totals()["z.last", "ok"] == 1
