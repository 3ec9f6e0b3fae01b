"""Errands: what is asked of the identity provider beside the requests, by a few threads for the whole process."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from typing import Generic, TypeVar

from django.db import Error, connections

K = TypeVar("K", bound=Hashable)

# For which a process that ends waits for answers: they may hold refresh tokens that the provider has rotated.
_LAST_SECONDS = 5.0


class Errands(Generic[K]):
    """Runs `do` for each key, once at a time for the same. `do` looks after its own errors and tells whether it worked.

    Its threads start when they are first needed, so a server may fork before. Where `room` keys wait for their turn, no
    more are taken.
    """

    def __init__(self, do: Callable[[K], bool], *, name: str, threads: int, room: int) -> None:
        self._do = do
        self._name = name
        self._max_threads = threads
        self._room = room
        self._begin_anew()
        # Threads do not survive a fork.
        os.register_at_fork(after_in_child=self._begin_anew)
        atexit.register(self.finish, _LAST_SECONDS)

    def send(self, key: K) -> Future[bool] | None:
        """What tells whether it worked, once it is done. None where there is no room for it."""
        with self._changed:
            errand = self._running.get(key) or self._waiting.get(key)
            if errand is None and len(self._waiting) < self._room:
                errand = self._waiting[key] = Future()
                self._start()
                self._changed.notify_all()
            return errand

    def call_off(self) -> None:
        """Begin nothing of what waits. Whoever waits for it hears that it did not work."""
        with self._changed:
            called_off = list(self._waiting.values())
            self._waiting.clear()
            self._changed.notify_all()
        for errand in called_off:
            errand.set_result(False)

    def wait(self, timeout: float) -> bool:
        """Wait until all is done. False if `timeout`, in seconds, was too short."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout)

    def finish(self, timeout: float) -> bool:
        """Begin nothing any more, and wait for what has begun. False if `timeout`, in seconds, was too short."""
        self.call_off()
        return self.wait(timeout)

    def _begin_anew(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[K, Future[bool]] = {}
        self._running: dict[K, Future[bool]] = {}
        self._threads = 0

    def _start(self) -> None:
        if self._threads >= min(self._max_threads, len(self._waiting) + len(self._running)):
            return
        # A process without room for another thread has those that it has.
        with suppress(RuntimeError):
            threading.Thread(target=self._run, name=self._name, daemon=True).start()
            self._threads += 1

    def _run(self) -> None:
        while True:
            key, errand = self._take()
            is_done = self._do(key)
            # Not kept: nobody looks after it until the next errand. One that is broken must not end this thread.
            with suppress(Error):
                connections.close_all()
            errand.set_result(is_done)
            with self._changed:
                del self._running[key]
                self._changed.notify_all()

    def _take(self) -> tuple[K, Future[bool]]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting))
            key = next(iter(self._waiting))
            errand = self._running[key] = self._waiting.pop(key)
            return key, errand
