"""Threads for work that blocks, so that an event loop need not wait. Plain Python."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar
from weakref import WeakSet

from mcp_oidc.errors import TemporarilyUnavailable

T = TypeVar("T")


class Threads:
    """A few threads of a name, which start when they are first needed. A process that forks begins with none again."""

    def __init__(self, name: str, *, size: int, timeout: float) -> None:
        """`timeout` is how many seconds a caller waits, its turn included."""
        self._make = partial(ThreadPoolExecutor, max_workers=size, thread_name_prefix=f"mcp_oidc-{name}")
        self._executor = self._make()
        self._timeout = timeout
        _all.add(self)

    def renew(self) -> None:
        """Begin with no threads again."""
        self._executor = self._make()

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns, run off the event loop. Raises what it raises, and `TemporarilyUnavailable` if late."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._call, call)
        try:
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise TemporarilyUnavailable("The server is too busy.", log="a worker thread did not answer") from None

    def _call(self, call: Callable[[], T]) -> T:
        return call()


_all: WeakSet[Threads] = WeakSet()


def _renew_all() -> None:
    for threads in _all:
        threads.renew()


# Threads do not survive a fork.
os.register_at_fork(after_in_child=_renew_all)
