"""The site's database from outside: a connection of the test's own, to look around and to stand in the way."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.faults.site import Site

# Whoever wants to change one of these rows has to wait until the transaction ends that this is part of.
LOCK_CONNECTIONS = "UPDATE mcp_oidc_connection SET seen_generation = seen_generation"


@contextmanager
def database(site: Site) -> Iterator[Any]:
    """A cursor, on which each statement is a transaction unless one says BEGIN. What was begun is rolled back."""
    with closing(_connect(site)) as connection, closing(connection.cursor()) as cursor:
        yield cursor


def rows(site: Site, sql: str) -> list[tuple[Any, ...]]:
    """What a statement returns."""
    with database(site) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _connect(site: Site) -> Any:
    parts = urlsplit(site.database_url)
    if site.kind == "sqlite":
        return sqlite3.connect(parts.path[1:], timeout=20, isolation_level=None)
    # The drivers are there: the site would have been skipped without.
    if site.kind == "postgresql":
        import psycopg

        return psycopg.connect(site.database_url, autocommit=True)
    import MySQLdb

    address = {"host": parts.hostname, "port": parts.port or 3306, "database": parts.path[1:]}
    return MySQLdb.connect(user=parts.username, password=parts.password or "", autocommit=True, **address)
