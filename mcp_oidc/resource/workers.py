"""Threads for work that blocks, beside Django's own handling of requests.

A call that comes through ASGI past Django has no request cycle that would close old connections, and Django's
connections belong to threads. So the threads are few and kept, and look after their connections themselves.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from django.db import close_old_connections

from mcp_oidc.errors import TemporarilyUnavailable

T = TypeVar("T")


class Workers:
    """A few threads of a name. They start when they are first needed."""

    def __init__(self, name: str, *, size: int, timeout: float) -> None:
        """`timeout` is how many seconds a caller waits, its turn included."""
        self._make = partial(ThreadPoolExecutor, max_workers=size, thread_name_prefix=f"mcp_oidc-{name}")
        self._executor = self._make()
        self._timeout = timeout

    def renew(self) -> None:
        """Begin with no threads again."""
        self._executor = self._make()

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns, run off the event loop. Raises what it raises, and `TemporarilyUnavailable` if late."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, _run_with_fresh_connections, call)
        try:
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise TemporarilyUnavailable("The server is too busy.", log="a worker thread did not answer") from None


# Apart, so that an identity provider that hangs holds up nobody's verification.
verification_workers = Workers("verify", size=8, timeout=10)
upstream_workers = Workers("upstream", size=8, timeout=30)


def _renew() -> None:
    verification_workers.renew()
    upstream_workers.renew()


# Threads do not survive a fork.
os.register_at_fork(after_in_child=_renew)


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Database connections as at the beginning and the end of a request: none that is broken or past CONN_MAX_AGE."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def _run_with_fresh_connections(call: Callable[[], T]) -> T:
    with fresh_connections():
        return call()
