"""Vain waits: for whose tokens this process has just waited in vain, so that it does not do so with every call."""

from __future__ import annotations

import threading
import time

# For which nobody waits for the same tokens again.
SECONDS = 30.0


class VainWaits:
    """The identities for whose tokens somebody has waited in vain, in all threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until: dict[int, float] = {}

    def note(self, identity_id: int) -> None:
        """It was in vain just now."""
        now = time.monotonic()
        with self._lock:
            lasting = {key: until for key, until in self._until.items() if until > now}
            self._until = {**lasting, identity_id: now + SECONDS}

    def forget(self, identity_id: int) -> None:
        """There are fresh tokens again."""
        with self._lock:
            self._until.pop(identity_id, None)

    def is_noted(self, identity_id: int) -> bool:
        """Whether another wait is likely to be in vain, too."""
        with self._lock:
            return self._until.get(identity_id, 0) > time.monotonic()
