"""Which connections live, by one narrow query by primary key, on the database that is written to.

The ORM writes the query, so that it is true to the models, the project's own among them; but once for each number of
keys, for it takes the ORM several times as long as the database.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
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
    "pk",
    "subject",
    "client__client_id",
    "resource",
    "generation",
    "seen_generation",
    "user_id",
    "identity_id",
)
# As many are looked up by one query at most.
MAX_TOGETHER = 64
# Stand in the query for the keys that are looked up.
_ANY_KEYS = tuple(uuid.UUID(int=0x5C1B7F6E5F0B4A949D6B0B5F2F0C7A00 + number) for number in range(MAX_TOGETHER))


def living_row(connection_id: uuid.UUID, *, generation: int) -> LivingRow | None:
    """The row of a connection that is alive, as are its client and user, for a token of `generation`. None: it is not.

    It is the database's, or what VERIFICATION_CACHE remembers of a row that such tokens were seen with before.
    """
    row = recalled_row(connection_id, generation=generation)
    if row is not None and not _is_in_transaction():
        return row
    return living_rows({connection_id: generation}).get(connection_id)


def recalled_row(connection_id: uuid.UUID, *, generation: int) -> LivingRow | None:
    """The row that VERIFICATION_CACHE remembers. None, and in a transaction: the database has to be asked."""
    max_age = app_settings.VERIFICATION_CACHE
    row = recall_living(connection_id, max_age=max_age) if max_age else None
    # What it does not know of a newer generation the database may.
    return row if row is not None and generation <= min(row.generation, row.seen_generation) else None


def living_rows(wanted: Mapping[uuid.UUID, int]) -> dict[uuid.UUID, LivingRow]:
    """The database's rows of these connections that live, for tokens of these generations; MAX_TOGETHER at most."""
    age, read_at = memory_age(), time.monotonic()
    rows = _read(list(wanted))
    # A transaction sees what may yet be rolled back, or no longer what others have committed.
    if rows and app_settings.VERIFICATION_CACHE and not _is_in_transaction():
        for connection_id, row in rows.items():
            # The caller records that these tokens are seen; once is enough.
            seen = row._replace(seen_generation=max(row.seen_generation, wanted[connection_id]))
            remember_living(connection_id, seen, age=age, read_at=read_at)
    return rows


def forget_query() -> None:
    """Write the query anew at its next use."""
    _query.cache_clear()


def _read(connection_ids: list[uuid.UUID]) -> dict[uuid.UUID, LivingRow]:
    alias = _alias()
    # Few numbers of keys, so few queries. A key that stands there twice changes nothing.
    count = 1 << (len(connection_ids) - 1).bit_length()
    keys = connection_ids + connection_ids[-1:] * (count - len(connection_ids))
    query, connection = _query(alias, count), connections[alias]
    with connection.cursor() as cursor:
        cursor.execute(query.sql, query.params_for(keys, connection))
        rows = [query.row_of(values, connection) for values in cursor.fetchall()]
    return {row.connection_id: row for row in rows}


@dataclass(frozen=True)
class _Query:
    """SQL for one database, and how its values become Python's."""

    sql: str
    params: tuple[Any, ...]
    keys_at: slice
    converters: tuple[tuple[int, Sequence[Callable[..., Any]], Any], ...]

    def params_for(self, keys: Sequence[uuid.UUID], connection: BaseDatabaseWrapper) -> list[Any]:
        params = list(self.params)
        params[self.keys_at] = [_adapted(key, connection) for key in keys]
        return params

    def row_of(self, values: Sequence[Any], connection: BaseDatabaseWrapper) -> LivingRow:
        if not self.converters:
            return LivingRow(*values)
        converted = list(values)
        for position, converters, expression in self.converters:
            for convert in converters:
                converted[position] = convert(converted[position], expression, connection)
        return LivingRow(*converted)


@lru_cache(maxsize=64)
def _query(alias: str, count: int) -> _Query:
    connection = connections[alias]
    compiler = _living(_ANY_KEYS[:count]).using(alias).values_list(*_COLUMNS).query.get_compiler(using=alias)
    sql, params = compiler.as_sql()
    converters = compiler.get_converters(column for column, *_ in compiler.select)
    first = tuple(params).index(_adapted(_ANY_KEYS[0], connection))
    return _Query(
        sql=sql,
        params=tuple(params),
        keys_at=slice(first, first + count),
        converters=tuple((position, each, column) for position, (each, column) in converters.items()),
    )


def _living(connection_ids: Sequence[uuid.UUID]) -> QuerySet[Connection]:
    living = Connection.objects.filter(pk__in=connection_ids, revoked_at=None, expires_at__gt=Now())
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
