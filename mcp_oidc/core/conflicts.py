"""Conflicts between transactions: a deadlock or a serialization failure takes nothing but time, and is tried again."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import OperationalError, transaction

logger = logging.getLogger("mcp_oidc")

P = ParamSpec("P")
T = TypeVar("T")

# Nothing begins again later than this, in seconds: a lock that was waited for longer is no conflict but a fault.
_PATIENCE = 5.0
_MAX_ATTEMPTS = 5
# PostgreSQL: serialization_failure, deadlock_detected. MySQL and MariaDB: ER_CHECKREAD (a row changed since it was
# read, where snapshots are strict), ER_LOCK_DEADLOCK. SQLite: SQLITE_BUSY, SQLITE_BUSY_SNAPSHOT.
_POSTGRESQL = frozenset({"40001", "40P01"})
_MYSQL = frozenset({1020, 1213})
_SQLITE = frozenset({5, 517})


def retry_conflicts(do: Callable[P, T]) -> Callable[P, T]:
    """Run `do`, which is one transaction, again where the database gave it up in favour of another one.

    Nothing of such an attempt is left. Within a transaction of the caller, which is lost as a whole, the error is the
    caller's.
    """

    @wraps(do)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if transaction.get_connection().in_atomic_block:
            return do(*args, **kwargs)
        started = time.monotonic()
        for attempt in range(1, _MAX_ATTEMPTS):
            try:
                return do(*args, **kwargs)
            except OperationalError as error:
                if not is_conflict(error) or time.monotonic() - started > _PATIENCE:
                    raise
                logger.info("%s met another transaction and is tried again", do.__name__)
            # Not all of those that met at the same moment again.
            time.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311  # no secret
        return do(*args, **kwargs)

    return run


def is_conflict(error: OperationalError) -> bool:
    """Whether the database gave a transaction up for another one, and would take it now."""
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in _POSTGRESQL or getattr(cause, "sqlite_errorcode", None) in _SQLITE:
        return True
    return bool(error.args) and error.args[0] in _MYSQL
