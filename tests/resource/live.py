"""An ASGI app under uvicorn, on a loopback port of its own, in a thread of this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from django.test import override_settings

from mcp_oidc.resource.asgi_messages import ASGIApp
from tests.resource.worlds import Issue


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket on a free port, so that the address is known before the app is made."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        yield listener


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` until the block ends."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, ws="none")
    server = Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert started.wait(30)
        yield
    finally:
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Live:
    """A server that is up, and a way to make tokens for it."""

    url: str
    issue: Issue

    @property
    def resource(self) -> str:
        return f"{self.url}/mcp"

    def token(self, **members: Any) -> str:
        return str(self.issue(resource=self.resource, issuer=self.url, **members).access_token)


@contextmanager
def live(issue: Issue, make_app: Callable[[], Any], **settings: Any) -> Iterator[Live]:
    """What `make_app` makes, served at an ISSUER of its own."""
    with listening() as listener:
        url = url_of(listener)
        with override_settings(MCP_OIDC={"ISSUER": url, **settings}), serving(make_app(), listener):
            yield Live(url, issue)
