"""How many calls may be under way to one server: many while it answers, few while it does not."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic
from typing import TypeVar

from mcp_oidc.upstream.deadlines import NoThread, call_within

T = TypeVar("T")

# As many as a busy process has threads for requests, and connections for them.
MAX_CALLS = 50
# A server that hangs holds no more threads of ours than this, so that the others go on serving.
MAX_WAITING = 4
# A call without an answer for so many seconds says that the server hangs.
SLOW_SECONDS = 2.0


class Congested(Exception):
    """Nothing was sent: as many calls as there may be are under way already."""


class Bulkhead:
    """Calls to one server, each in a thread of its own and within its time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: dict[object, float] = {}
        self._is_hanging = False
        # Of the threads themselves, which may outlive the patience of their callers.
        self._threads = threading.BoundedSemaphore(MAX_CALLS)

    def call(self, seconds: float, call: Callable[[], T], *, name: str) -> T:
        """What `call` returns or raises, as of `call_within`.

        Raises `Congested` before anything is done, because a code or a refresh token that was sent is used up.
        """
        ticket = self._enter()
        has_answered = False
        try:
            result = call_within(seconds, self._leaving(call), name=name)
            has_answered = True
        except NoThread:
            self._threads.release()
            raise Congested from None
        finally:
            self._leave(ticket, has_answered=has_answered)
        return result

    def _enter(self) -> object:
        ticket = object()
        with self._lock:
            is_slow = any(monotonic() - began >= SLOW_SECONDS for began in self._began.values())
            limit = MAX_WAITING if self._is_hanging or is_slow else MAX_CALLS
            if len(self._began) >= limit or not self._threads.acquire(blocking=False):
                raise Congested
            self._began[ticket] = monotonic()
        return ticket

    def _leave(self, ticket: object, *, has_answered: bool) -> None:
        with self._lock:
            took = monotonic() - self._began.pop(ticket)
            # A refusal within the time holds nobody up, and the first answer opens the door again.
            self._is_hanging = not has_answered and took >= SLOW_SECONDS

    def _leaving(self, call: Callable[[], T]) -> Callable[[], T]:
        def call_and_leave() -> T:
            try:
                return call()
            finally:
                self._threads.release()

        return call_and_leave
