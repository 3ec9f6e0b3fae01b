"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS = 30


def wait_until(what: Callable[[], bool], *, seconds: float = WAIT_SECONDS) -> None:
    """Wait until it is so. Fails if that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"it is not so within {seconds} seconds"
        time.sleep(0.005)
