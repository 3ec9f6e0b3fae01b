"""Threads for work that blocks, so that an event loop need not wait. Plain Python."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mcp_oidc.errors import TemporarilyUnavailable

T = TypeVar("T")


class Threads:
    """A few threads of a name. They start when they are first needed, so a server may fork before."""

    def __init__(self, name: str, *, size: int, timeout: float) -> None:
        """`timeout` is how many seconds a caller waits, its turn included."""
        self._executor = ThreadPoolExecutor(max_workers=size, thread_name_prefix=f"mcp_oidc-{name}")
        self._timeout = timeout

    async def run(self, call: Callable[[], T]) -> T:
        """What `call` returns, run off the event loop. Raises what it raises, and `TemporarilyUnavailable` if late."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, self._call, call)
        try:
            return await asyncio.wait_for(future, self._timeout)
        except TimeoutError:
            raise TemporarilyUnavailable("The server is too busy.", log="a worker thread did not answer") from None

    def _call(self, call: Callable[[], T]) -> T:
        return call()
