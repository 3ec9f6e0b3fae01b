"""A clock for what is remembered: the time that one process measures by itself."""

from __future__ import annotations


class Clock:
    """Time that passes when a test says so, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now
