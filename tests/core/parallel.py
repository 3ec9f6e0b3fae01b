"""Several threads that do the same thing at the same moment, each with a connection to the database of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

T = TypeVar("T")

THREADS = 8


def in_parallel(
    do: Callable[[], T], *, expected: type[Exception] | None = None, threads: int = THREADS
) -> list[T | Exception]:
    """What eight threads got from `do`: results, and errors of the type that is `expected`."""
    barrier = threading.Barrier(threads)

    def run() -> T | Exception:
        try:
            barrier.wait(timeout=30)
            return do()
        except Exception as error:
            if expected is None or not isinstance(error, expected):
                raise
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(run) for _ in range(threads)]
    return [future.result() for future in futures]
