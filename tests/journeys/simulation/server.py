"""The server as its clients meet it: HTTP, answered by one process after another, and by two at once."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.core.cache import cache
from django.db import connections
from django.http import HttpResponse
from django.test import Client as Browser

from mcp_oidc.core.keys import forget_keys
from mcp_oidc.core.sightings import wait_for_sightings
from mcp_oidc.upstream.provider import forget_provider
from tests.server.authorizations import FORM

_LOCAL_CACHE = "django.core.cache.backends.locmem.LocMemCache"


class Server:
    """One server, whose processes come and go."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(2)
        self._meeting = threading.Barrier(2)
        self._local = threading.local()

    def post(self, path: str, params: dict[str, str], headers: dict[str, str]) -> HttpResponse:
        """A request of a client that has no cookies."""
        return self._browser.post(path, urlencode(params), content_type=FORM, headers=headers)

    def get(self, path: str, access_token: str) -> HttpResponse:
        return self._browser.get(path, headers={"Authorization": f"Bearer {access_token}"})

    def at_once(self, *calls: Callable[[], HttpResponse]) -> list[HttpResponse]:
        """What the server answers to two calls at the same moment."""

        def run(call: Callable[[], HttpResponse]) -> HttpResponse:
            self._meeting.wait(timeout=30)
            return call()

        return list(self._threads.map(run, calls))

    def restart(self) -> None:
        """End the process, as an operator does, and begin a new one that knows nothing."""
        self._end_process()
        self._threads = ThreadPoolExecutor(2)
        self._local = threading.local()

    def stop(self) -> None:
        """End it for good."""
        self._end_process()

    def _end_process(self) -> None:
        assert wait_for_sightings(10)
        self.at_once(connections.close_all, connections.close_all)
        self._threads.shutdown()
        connections.close_all()
        _forget_everything()

    @property
    def _browser(self) -> Browser:
        # One in each thread, with middleware of its own.
        if not hasattr(self._local, "browser"):
            self._local.browser = Browser(enforce_csrf_checks=True, raise_request_exception=False)
        browser: Browser = self._local.browser
        return browser


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that has just been started."""
    server = Server()
    try:
        yield server
    finally:
        server.stop()


def _forget_everything() -> None:
    forget_keys()
    forget_provider()
    if settings.CACHES["default"]["BACKEND"] == _LOCAL_CACHE:
        cache.clear()
    for function in _cached_functions():
        function.cache_clear()


def _cached_functions() -> list[Any]:
    modules = [module for name, module in sys.modules.items() if name.startswith("mcp_oidc.")]
    return [value for module in modules for value in vars(module).values() if hasattr(value, "cache_clear")]
