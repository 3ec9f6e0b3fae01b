"""Writes that nobody could make up for: tried again while the database does not take them."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.db import InterfaceError, OperationalError, transaction

# Seconds between two tries.
_PAUSE = 0.2


def keep_trying(write: Callable[[], None], *, seconds: float) -> None:
    """Run `write` again until the database takes it, for so long, and on a new connection each time.

    Raises what the last try raised. Within a transaction of the caller, which is lost as a whole, there is one try.
    """
    deadline = time.monotonic() + seconds
    while True:
        connection = transaction.get_connection()
        try:
            return write()
        except (InterfaceError, OperationalError):
            if connection.in_atomic_block or time.monotonic() >= deadline:
                raise
        connection.close()
        time.sleep(_PAUSE)
