"""Whether a connection lives, by one narrow query by its primary key, on the database that is written to.

The ORM writes the query, so that it is true to the models, the project's own among them; but once, for it takes the
ORM several times as long as the database.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Exists, OuterRef, QuerySet

from mcp_oidc.conf import app_settings
from mcp_oidc.core.clock import Now
from mcp_oidc.core.living_cache import LivingRow, memory_age, recall_living, remember_living
from mcp_oidc.core.users import has_active_column
from mcp_oidc.models import AbstractClient, ClientHost, Connection

_COLUMNS = (
    "subject",
    "client__client_id",
    "resource",
    "generation",
    "seen_generation",
    "user_id",
    "identity_id",
)
# Stands in the query for the key that is looked up.
_ANY_KEY = uuid.UUID("5c1b7f6e-5f0b-4a94-9d6b-0b5f2f0c7a11")


def living_row(connection_id: uuid.UUID, *, generation: int) -> LivingRow | None:
    """The row of a connection that is alive, as are its client and user, for a token of `generation`. None: it is not.

    It is the database's, or what VERIFICATION_CACHE remembers of a row that such tokens were seen with before.
    """
    return recalled_row(connection_id, generation=generation) or _read_and_remember(connection_id, generation)


def recalled_row(connection_id: uuid.UUID, *, generation: int) -> LivingRow | None:
    """The row that VERIFICATION_CACHE remembers, without asking the database. None: that has to be asked."""
    max_age = app_settings.VERIFICATION_CACHE
    if not max_age or _is_in_transaction():
        return None
    row = recall_living(connection_id, max_age=max_age)
    # What it does not know of a newer generation the database may.
    return row if row is not None and generation <= min(row.generation, row.seen_generation) else None


def forget_query() -> None:
    """Write the query anew at its next use."""
    _query.cache_clear()


def _read_and_remember(connection_id: uuid.UUID, generation: int) -> LivingRow | None:
    age, read_at = memory_age(), time.monotonic()
    row = _read(connection_id)
    # A transaction sees what may yet be rolled back, or no longer what others have committed.
    if row is not None and app_settings.VERIFICATION_CACHE and not _is_in_transaction():
        # The caller records that these tokens are seen; once is enough.
        seen = row._replace(seen_generation=max(row.seen_generation, generation))
        remember_living(connection_id, seen, age=age, read_at=read_at)
    return row


def _read(connection_id: uuid.UUID) -> LivingRow | None:
    alias = _alias()
    query, connection = _query(alias), connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.params_for(connection_id, connection))
        values = cursor.fetchone()
    return None if values is None else query.row_of(values, connection)


@dataclass(frozen=True)
class _Query:
    """SQL for one database, and how its values become Python's."""

    sql: str
    params: tuple[Any, ...]
    key_at: int
    converters: tuple[tuple[int, Sequence[Callable[..., Any]], Any], ...]

    def params_for(self, key: uuid.UUID, connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
        return (*self.params[: self.key_at], _adapted(key, connection), *self.params[self.key_at + 1 :])

    def row_of(self, values: Sequence[Any], connection: BaseDatabaseWrapper) -> LivingRow:
        if not self.converters:
            return LivingRow(*values)
        converted = list(values)
        for position, converters, expression in self.converters:
            for convert in converters:
                converted[position] = convert(converted[position], expression, connection)
        return LivingRow(*converted)


@lru_cache(maxsize=8)
def _query(alias: str) -> _Query:
    connection = connections[alias]
    compiler = _living(_ANY_KEY).using(alias).values_list(*_COLUMNS).query.get_compiler(using=alias)
    sql, params = compiler.as_sql()
    converters = compiler.get_converters(column for column, *_ in compiler.select)
    return _Query(
        sql=sql,
        params=tuple(params),
        key_at=tuple(params).index(_adapted(_ANY_KEY, connection)),
        converters=tuple((position, each, column) for position, (each, column) in converters.items()),
    )


def _living(connection_id: uuid.UUID) -> QuerySet[Connection]:
    living = Connection.objects.filter(pk=connection_id, revoked_at=None, expires_at__gt=Now())
    blocked_host = ClientHost.objects.filter(host=OuterRef("client__host"), trust=ClientHost.Trust.BLOCKED)
    alive = living.filter(~Exists(blocked_host), client__deleted_at=None, **_active_user())
    return alive.exclude(client__trust=AbstractClient.Trust.BLOCKED)


def _active_user() -> dict[str, bool]:
    return {"user__is_active": True} if has_active_column(get_user_model()) else {}


def _adapted(key: uuid.UUID, connection: BaseDatabaseWrapper) -> Any:
    return Connection._meta.pk.get_db_prep_value(key, connection)


def _alias() -> str:
    return router.db_for_write(Connection)


def _is_in_transaction() -> bool:
    connection = connections[_alias()]
    return connection.in_atomic_block or not connection.settings_dict["AUTOCOMMIT"]
