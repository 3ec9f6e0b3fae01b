"""What `RemoteVerifier` remembers of tokens, for a time. Plain Python."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import Generic, TypeVar

V = TypeVar("V")


class Remembered(Generic[V]):
    """Values by token, each until a moment of `time.monotonic`. Where there are more than `size`, the oldest goes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._kept: dict[bytes, tuple[V, float]] = {}

    def find(self, token: str) -> V | None:
        with self._lock:
            kept = self._kept.get(_key(token))
        return kept[0] if kept is not None and time.monotonic() < kept[1] else None

    def keep(self, token: str, value: V, *, until: float) -> None:
        key = _key(token)
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (value, until)
            if len(self._kept) > self._size:
                del self._kept[next(iter(self._kept))]


def _key(token: str) -> bytes:
    # By its hash, so that no access token lies in memory longer than its request.
    return hashlib.sha256(token.encode()).digest()
