"""Threads for work that blocks, beside Django's own handling of requests.

A call that comes through ASGI past Django has no request cycle that would close old connections, and Django's
connections belong to threads. So the threads are few and kept, and look after their connections themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from django.db import close_old_connections

from mcp_oidc.resource.threads import Threads

T = TypeVar("T")


class Workers(Threads):
    """Threads that may use the database."""

    def _call(self, call: Callable[[], T]) -> T:
        with fresh_connections():
            return call()


# Apart, so that an identity provider that hangs holds up nobody's verification.
verification_workers = Workers("verify", size=8, timeout=10)
upstream_workers = Workers("upstream", size=8, timeout=30)


@contextmanager
def fresh_connections() -> Iterator[None]:
    """Database connections as at the beginning and the end of a request: none that is broken or past CONN_MAX_AGE."""
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
