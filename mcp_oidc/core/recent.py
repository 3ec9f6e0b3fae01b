"""A bounded memory of a process for what was used recently."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most `size` values; those that were not used for longest go first. Every thread may use it.

    They go by halves: what was used since the last half filled up survives. So reading one takes no lock, and the
    bound holds whatever comes in.
    """

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._lock = threading.Lock()
        self._new: dict[K, V] = {}
        self._old: dict[K, V] = {}
        # Counts what was forgotten, see `put`.
        self._age = 0

    def __len__(self) -> int:
        with self._lock:
            return len(self._new.keys() | self._old.keys())

    @property
    def age(self) -> int:
        """Changes whenever anything is forgotten by `forget` or `clear`."""
        return self._age

    def get(self, key: K) -> V | None:
        value = self._new.get(key)
        if value is not None:
            return value
        age = self._age
        value = self._old.get(key)
        if value is not None:
            self.put(key, value, age=age)
        return value

    def put(self, key: K, value: V, *, age: int | None = None) -> None:
        """Keep `value`. With the `age` from before it was read, not if something was forgotten meanwhile: it may be
        just what has changed.
        """
        with self._lock:
            if age is not None and age != self._age:
                return
            if len(self._new) >= self._half and key not in self._new:
                self._old, self._new = self._new, {}
            self._new[key] = value

    def forget(self, keys: Iterable[K]) -> None:
        with self._lock:
            self._age += 1
            for key in keys:
                self._new.pop(key, None)
                self._old.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._age += 1
            self._new, self._old = {}, {}
