"""ASGI apps in this process that have to be started before they answer, each once, on an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any

from mcp_oidc.resource.asgi_messages import ASGIApp, Message

# Seconds. For a busy machine; an app that hangs fails its test.
PATIENCE = 30


class Lifespans:
    """Runs what is called on its loop, and the lifespans of apps until they are stopped."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lifespans", daemon=True)
        self._thread.start()
        self._stops: list[tuple[asyncio.Event, asyncio.Task[None]]] = []

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What `coroutine` returns, from another thread. Raises what it raises, and `TimeoutError` if it hangs."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return future.result(PATIENCE)

    def start(self, app: ASGIApp) -> None:
        """Start `app` as a server does before its first request."""
        self.run(self._start(app))

    def stop(self) -> None:
        """Stop every app, and the loop."""
        self.run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    async def _start(self, app: ASGIApp) -> None:
        started, stopping = asyncio.Event(), asyncio.Event()
        said = iter([{"type": "lifespan.startup"}])

        async def receive() -> Message:
            message = next(said, None)
            if message is None:
                await stopping.wait()
            return message or {"type": "lifespan.shutdown"}

        async def send(message: Message) -> None:
            assert message["type"].endswith(".complete"), message
            started.set()

        task = asyncio.ensure_future(app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send))
        self._stops.append((stopping, task))
        waiting = asyncio.ensure_future(started.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert started.is_set(), f"the app ended before it had started: {task.exception()}"

    async def _stop(self) -> None:
        for stopping, task in self._stops:
            stopping.set()
            await task
