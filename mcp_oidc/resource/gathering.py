"""Rows for event loops: whoever needs one while others are being read waits with them for the next query.

So a loop that is busy makes few queries for many requests, and few hops between threads, whatever the database. No row
was read before it was asked for: a revocation bites at the next request.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from mcp_oidc.core.living import MAX_TOGETHER, living_rows
from mcp_oidc.core.living_cache import LivingRow
from mcp_oidc.resource.databases import ask_database
from mcp_oidc.resource.workers import verification_workers

# Seconds after which a query holds up no other one any longer.
PATIENCE = 0.1


async def read_row(connection_id: uuid.UUID, generation: int) -> LivingRow | None:
    """The database's row of a connection that is alive, for a token of `generation`. None: it is not alive.

    Raises `TemporarilyUnavailable` while the database cannot be asked, or is late.
    """
    loop = asyncio.get_running_loop()
    gatherer = _gatherers.get(loop)
    if gatherer is None:
        gatherer = _gatherers[loop] = _Gatherer()
    return await gatherer.read(_Wish(connection_id, generation, loop.create_future()))


class _Wish(NamedTuple):
    connection_id: uuid.UUID
    generation: int
    row: asyncio.Future[LivingRow | None]


class _Gatherer:
    """The wishes of one event loop, which go to the database one after the other, as many at a time as there are."""

    def __init__(self) -> None:
        self._wishes: deque[_Wish] = deque()
        self._is_asking = False
        # The event loop itself holds no task fast.
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, wish: _Wish) -> LivingRow | None:
        self._wishes.append(wish)
        if not self._is_asking:
            self._is_asking = True
            self._start(self._ask_until_done())
        return await wish.row

    async def _ask_until_done(self) -> None:
        try:
            while self._wishes:
                wishes = [self._wishes.popleft() for _ in range(min(len(self._wishes), MAX_TOGETHER))]
                await asyncio.wait({self._start(_grant(wishes))}, timeout=PATIENCE)
        finally:
            self._is_asking = False

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _grant(wishes: Sequence[_Wish]) -> None:
    """Give each its row, or all the reason why there is none."""
    wanted: dict[uuid.UUID, int] = {}
    for wish in wishes:
        wanted[wish.connection_id] = max(wish.generation, wanted.get(wish.connection_id, 0))
    try:
        rows = await verification_workers.run(partial(ask_database, partial(living_rows, wanted)))
    except Exception as error:  # noqa: BLE001  # theirs, whatever it is
        for wish in wishes:
            if not wish.row.done():
                wish.row.set_exception(error)
    else:
        for wish in wishes:
            # Who gave up waiting has cancelled it.
            if not wish.row.done():
                wish.row.set_result(rows.get(wish.connection_id))


_gatherers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gatherer] = WeakKeyDictionary()
