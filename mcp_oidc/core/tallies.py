"""Tallies: how often things happened in each hour, for charts and metrics that must not count events.

Counted in the memory of each process and added up in the database beside the requests, every FLUSH_SECONDS and when
the process ends. So counting costs a request no statement and no lock on a row; a process that is killed loses the
counts of its last seconds.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from django.db import DatabaseError, IntegrityError, InterfaceError, connection, router, transaction
from django.db.models import F

from mcp_oidc.core.batches import BATCH_SIZE, delete_in_batches
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.models import HourlyCount

logger = logging.getLogger("mcp_oidc")

FLUSH_SECONDS = 10.0
# More different sums than that wait only where the database has been down for days; new ones are then dropped.
MAX_WAITING = 10_000
# Days that tallies are kept: a year can be compared with the one before.
LIFETIME_DAYS = 400
HOUR = 60 * 60
# In the place of an hour: since the beginning. Counters of metrics must never fall, whatever is deleted.
_ALL_TIME = 0
# Seconds that a process which ends still waits for its last sums.
_LAST_SECONDS = 2.0


@dataclass(frozen=True)
class Tally:
    """How often `kind` ended with `outcome` in the hour that begins at `hour`."""

    hour: datetime
    kind: str
    outcome: str
    count: int


def count(kind: str, outcome: str, n: int = 1) -> None:
    """Count something that happened now; in a transaction, once it has been committed.

    Kinds and outcomes are names in code, never a text that somebody sent.
    """
    # Not by on_commit alone, which connects to the database first.
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(partial(_counter.add, kind, outcome, n))
    else:
        _counter.add(kind, outcome, n)


def flush() -> None:
    """Write what this process has counted, and wait for it. Errors are logged, and the sums are kept for later."""
    _counter.flush()


def forget_counts() -> None:
    """Drop what was counted and is not written."""
    _counter.forget()


def hourly(since: datetime) -> list[Tally]:
    """The tallies of all hours that begin at `since` or later, in order. At most one for each hour, kind and outcome.

    The last seconds may be missing: FLUSH_SECONDS of each process.
    """
    first = max(1, -int(-since.timestamp() // HOUR))
    rows = HourlyCount.objects.filter(hour__gte=first).order_by("hour", "kind", "outcome")
    return [
        Tally(hour=datetime.fromtimestamp(hour * HOUR, tz=UTC), kind=kind, outcome=outcome, count=number)
        for hour, kind, outcome, number in rows.values_list("hour", "kind", "outcome", "count")
    ]


def totals() -> dict[tuple[str, str], int]:
    """How often each kind ended with each outcome, since the first of all. It never falls."""
    rows = HourlyCount.objects.using(router.db_for_write(HourlyCount)).filter(hour=_ALL_TIME)
    return {(kind, outcome): number for kind, outcome, number in rows.values_list("kind", "outcome", "count")}


def delete_old_tallies(*, batch_size: int = BATCH_SIZE) -> int:
    """Delete tallies that are older than LIFETIME_DAYS. Returns how many."""
    old = HourlyCount.objects.filter(hour__gt=_ALL_TIME, hour__lt=_this_hour() - LIFETIME_DAYS * 24)
    return delete_in_batches(old, batch_size=batch_size)


class _Key(NamedTuple):
    database: str
    hour: int
    kind: str
    outcome: str


class _Counter:
    """The sums of this process, and one thread that writes them. It starts when it is needed, as after a fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sums: dict[_Key, int] = {}
        self._thread: threading.Thread | None = None
        self._is_ending = False
        # Held while sums are written: who flushes waits for those that another thread has taken.
        self._writing = threading.Lock()

    def add(self, kind: str, outcome: str, n: int) -> None:
        database = _database()
        # A project's own error may have a long code; one row that cannot be written would hold up all others.
        kind, outcome = kind[:64], outcome[:32]
        self._put({_Key(database, hour, kind, outcome): n for hour in (_this_hour(), _ALL_TIME)})
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        with self._writing:
            sums = self._take()
            try:
                # In one order everywhere.
                for key in sorted(sums):
                    if key.database == _database():
                        _add(key, sums[key])
                    del sums[key]
            except (DatabaseError, InterfaceError):
                # A count that is late is no trouble for anybody.
                logger.warning("could not write the tallies", exc_info=True)
                self._put(sums)

    def forget(self) -> None:
        self._take()

    def finish(self, timeout: float) -> None:
        """Have the thread write once more and end."""
        with self._changed:
            self._is_ending = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(timeout)

    def _put(self, sums: dict[_Key, int]) -> None:
        with self._changed:
            if not self._sums:
                # The thread is woken once for all that gathers until it writes.
                self._changed.notify_all()
            for key, number in sums.items():
                if key in self._sums or len(self._sums) < MAX_WAITING:
                    self._sums[key] = self._sums.get(key, 0) + number

    def _take(self) -> dict[_Key, int]:
        with self._changed:
            taken, self._sums = self._sums, {}
        return taken

    def _start(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="mcp_oidc-tallies", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._wait():
            self._flush_here()
        self._flush_here()

    def _wait(self) -> bool:
        """Wait until there is something to write and some of it has gathered. False if the process ends."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._sums) or self._is_ending)
            self._changed.wait_for(lambda: self._is_ending, FLUSH_SECONDS)
            return not self._is_ending

    def _flush_here(self) -> None:
        try:
            self.flush()
        except Exception:
            # Nothing at all may end the thread.
            logger.exception("could not write the tallies")
        finally:
            # Not kept: nobody looks after it until the next time.
            connection.close()


@retry_conflicts
def _add(key: _Key, number: int) -> None:
    # One statement in a transaction of its own: whoever waits for the row holds no other.
    row = HourlyCount.objects.filter(hour=key.hour, kind=key.kind, outcome=key.outcome)
    if row.update(count=F("count") + number):
        return
    try:
        with transaction.atomic():
            HourlyCount.objects.create(hour=key.hour, kind=key.kind, outcome=key.outcome, count=number)
    except IntegrityError:
        # Another process began the hour just now.
        row.update(count=F("count") + number)


def _database() -> str:
    # When tests are over, Django names the real database again, and their counts do not belong there.
    return str(transaction.get_connection().settings_dict["NAME"])


def _this_hour() -> int:
    return int(time.time()) // HOUR


def _renew() -> None:
    global _counter
    _counter = _Counter()


def _finish() -> None:
    _counter.finish(_LAST_SECONDS)


_counter = _Counter()
# Threads do not survive a fork, and what its parent counted the parent will write.
os.register_at_fork(after_in_child=_renew)
atexit.register(_finish)
