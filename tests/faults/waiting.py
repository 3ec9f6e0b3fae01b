"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable

WAIT_SECONDS = 60


def wait_until(what: Callable[[], bool], *, seconds: float = WAIT_SECONDS, pause: float = 0.005) -> None:
    """Wait until it is so, and look again after each `pause`. Fails if that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"it is not so within {seconds} seconds"
        time.sleep(pause)
