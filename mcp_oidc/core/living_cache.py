"""What VERIFICATION_CACHE remembers of living connections, in this process, and how revocation makes it forget.

Whoever ends something calls `forget_living` inside the transaction in which it ends. What other transactions read
before it was committed is thrown away when it is, and what was being read meanwhile is not kept.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from functools import partial
from typing import Any, NamedTuple

from django.db import transaction

from mcp_oidc.core.recent import Recent

# Some hundred bytes each.
MAX_REMEMBERED = 20_000


class LivingRow(NamedTuple):
    """What verification reads of a connection that lives, with a living client and user."""

    connection_id: uuid.UUID
    subject: str
    client_id: str
    resource: str
    generation: int
    seen_generation: int
    user_id: Any
    identity_id: int | None


class _Remembered(NamedTuple):
    row: LivingRow
    read_at: float


_rows: Recent[uuid.UUID, _Remembered] = Recent(MAX_REMEMBERED)


def memory_age() -> int:
    """To be asked before a row is read, for `remember_living`."""
    return _rows.age


def recall_living(connection_id: uuid.UUID, *, max_age: int) -> LivingRow | None:
    """The row as it was at most `max_age` seconds ago, if it is remembered."""
    remembered = _rows.get(connection_id)
    if remembered is None or time.monotonic() - remembered.read_at >= max_age:
        return None
    return remembered.row


def remember_living(connection_id: uuid.UUID, row: LivingRow, *, age: int, read_at: float) -> None:
    """Keep a row that was asked for at `read_at` (`time.monotonic`), unless anything was revoked since `age`."""
    _rows.put(connection_id, _Remembered(row, read_at), age=age)


def forget_living(connection_ids: Collection[uuid.UUID] | None = None) -> None:
    """Read these connections again (None: all), from now on and once more when the present transaction is committed.

    Until then others may read, and keep, what it has not changed for them yet.
    """
    forget = partial(_forget, connection_ids)
    forget()
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(forget, robust=True)


def _forget(connection_ids: Collection[uuid.UUID] | None) -> None:
    if connection_ids is None:
        _rows.clear()
    else:
        _rows.forget(connection_ids)
