"""Conflicts: transactions that met each other are tried again, and nothing else is."""

from __future__ import annotations

import itertools
import threading
from contextlib import suppress

import pytest
from django.db import OperationalError, connection, transaction

from mcp_oidc.core import conflicts
from mcp_oidc.core.conflicts import is_conflict, retry_conflicts
from mcp_oidc.models import ClientHost
from tests.core.parallel import in_parallel


class SqliteBusy(Exception):
    sqlite_errorcode = 5


class Deadlock(Exception):
    sqlstate = "40P01"


class ServerGone(Exception):
    sqlstate = "57P01"


def failure(cause: Exception, *args: object) -> OperationalError:
    error = OperationalError(*args)
    error.__cause__ = cause
    return error


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("conflicts-retried")
def test_transactions_that_lock_each_other_out_all_succeed_in_the_end() -> None:
    hosts = [ClientHost.objects.create(host=f"{name}.example", trust="trusted") for name in ("a", "b")]
    meeting, turns, attempts = threading.Barrier(2), itertools.count(), itertools.count()

    @retry_conflicts
    def lock(first: ClientHost, second: ClientHost) -> None:
        next(attempts)
        with transaction.atomic():
            ClientHost.objects.filter(pk=first.pk).update(note="first")
            # Both hold one row, where the database lets two in at all.
            with suppress(threading.BrokenBarrierError):
                meeting.wait(timeout=0.3)
            ClientHost.objects.filter(pk=second.pk).update(note="second")

    def crosswise() -> str:
        lock(*(hosts if next(turns) % 2 else reversed(hosts)))
        return "done"

    assert in_parallel(crosswise, threads=2) == ["done", "done"]
    # SQLite lets in one at a time, and so knows no deadlock.
    assert connection.vendor == "sqlite" or next(attempts) > 2


def attempts_at(cause: Exception) -> int:
    """How often something is tried that fails for this `cause` each time."""
    attempts = itertools.count()

    @retry_conflicts
    def fail() -> None:
        next(attempts)
        raise failure(cause)

    with pytest.raises(OperationalError):
        fail()
    return next(attempts)


@pytest.mark.django_db(transaction=True)
def test_attempts_are_few() -> None:
    assert attempts_at(Deadlock()) == 5


@pytest.mark.django_db(transaction=True)
def test_failure_that_is_no_conflict_is_not_tried_again() -> None:
    assert attempts_at(ServerGone()) == 1


@pytest.mark.django_db(transaction=True)
def test_lock_that_was_waited_for_is_not_waited_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    times = itertools.count(step=30)
    monkeypatch.setattr(conflicts.time, "monotonic", lambda: next(times))
    assert attempts_at(SqliteBusy()) == 1


@pytest.mark.django_db
def test_transaction_of_the_caller_is_the_callers() -> None:
    assert attempts_at(Deadlock()) == 1


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (failure(Deadlock()), True),
        (failure(SqliteBusy()), True),
        (failure(Exception(), 1213, "Deadlock found when trying to get lock; try restarting transaction"), True),
        (failure(Exception(), 1020, "Record has changed since last read in table"), True),
        (failure(ServerGone()), False),
        (failure(Exception(), 1205, "Lock wait timeout exceeded"), False),
        (failure(Exception(), 2006, "Server has gone away"), False),
        (OperationalError("disk I/O error"), False),
        (OperationalError(), False),
    ],
)
def test_conflict_is_told_from_a_failure(error: OperationalError, is_one: bool) -> None:
    assert is_conflict(error) is is_one
