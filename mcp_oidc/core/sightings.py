"""Sightings: that tokens of a generation were used, written once for each and not in the time of the request.

The client has them, so it needs no retry of the refresh before. The last sightings of a process that is killed are
lost; its client then shows the next one, or has a retry more.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import uuid

from django.db import connection, transaction

from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.connections import note_seen

logger = logging.getLogger("mcp_oidc")

# More than that wait only where the database is down; then the next use tells again.
MAX_WAITING = 10_000
# Seconds that a process which ends still waits for its last sightings.
_LAST_SECONDS = 2.0


def see(connection_id: uuid.UUID, generation: int) -> None:
    """Record a sighting soon. In a transaction of the caller's, at once: another thread would not see its rows."""
    if transaction.get_connection().in_atomic_block:
        _write(connection_id, generation)
    else:
        _recorder.put(connection_id, generation)


def wait_for_sightings(timeout: float = _LAST_SECONDS) -> bool:
    """Wait until everything that was seen has been written. False if `timeout`, in seconds, was too short."""
    return _recorder.wait(timeout)


class _Recorder:
    """One thread that writes what the others saw. It starts when it is needed, so a server may fork before."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[uuid.UUID, int] = {}
        self._is_writing = False
        self._thread: threading.Thread | None = None

    def put(self, connection_id: uuid.UUID, generation: int) -> None:
        with self._changed:
            known = self._waiting.get(connection_id)
            if known is None and len(self._waiting) >= MAX_WAITING:
                return
            self._waiting[connection_id] = max(generation, known or 0)
            self._start()
            self._changed.notify_all()

    def wait(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._is_writing, timeout)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mcp_oidc-sightings", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            for connection_id, generation in self._take().items():
                _write(connection_id, generation)
                if connection.errors_occurred:
                    # What an error leaves of its cursor is cleared away by any thread, the event loop's too, which
                    # would have to wait as long as this one waits for SQLite's lock on the same connection.
                    connection.close()
            # Not kept: nobody looks after it until the next sighting.
            connection.close()
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()

    def _take(self) -> dict[uuid.UUID, int]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting))
            taken, self._waiting = self._waiting, {}
            self._is_writing = True
            return taken


def _write(connection_id: uuid.UUID, generation: int) -> None:
    try:
        _note(connection_id, generation)
    except Exception:
        # A database that can only be read must lock nobody out, and nothing at all may end the thread.
        logger.warning("could not record the use of a token", exc_info=True)


@retry_conflicts
def _note(connection_id: uuid.UUID, generation: int) -> None:
    with transaction.atomic():
        note_seen(connection_id, generation)


def _renew() -> None:
    global _recorder
    _recorder = _Recorder()


_recorder = _Recorder()
# Threads do not survive a fork.
os.register_at_fork(after_in_child=_renew)
atexit.register(wait_for_sightings)
