"""Fresh databases of every kind that we support, for tests that begin with `migrate`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# Servers where tests may make databases. One that does not answer is skipped by name.
POSTGRESQL_URL = os.environ.get("POSTGRESQL_URL", "postgres://postgres@127.0.0.1:5432/postgres")
MARIADB_URL = os.environ.get("MARIADB_URL", "mysql://root@127.0.0.1:3306/mysql")

KINDS = ("sqlite", "postgresql", "mariadb")


@contextmanager
def fresh_database(kind: str, directory: Path) -> Iterator[str]:
    """The URL of an empty database, which is dropped afterwards."""
    if kind == "sqlite":
        yield f"sqlite:///{directory / 'fresh.sqlite3'}"
        return
    name = f"mcp_oidc_{secrets.token_hex(6)}"
    url, connection = _postgresql() if kind == "postgresql" else _mariadb()
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(url)._replace(path=f"/{name}").geturl()
        finally:
            cursor.execute(f"DROP DATABASE {name}")


def _postgresql() -> tuple[str, Any]:
    psycopg = pytest.importorskip("psycopg")
    try:
        connection = psycopg.connect(POSTGRESQL_URL, autocommit=True, connect_timeout=2)
    except psycopg.OperationalError:
        pytest.skip("PostgreSQL does not answer at POSTGRESQL_URL")
    return POSTGRESQL_URL, connection


def _mariadb() -> tuple[str, Any]:
    driver = pytest.importorskip("MySQLdb")
    parts = urlsplit(MARIADB_URL)
    address = {"host": parts.hostname, "port": parts.port or 3306, "connect_timeout": 2}
    try:
        connection = driver.connect(user=parts.username, password=parts.password or "", **address)
    except driver.OperationalError:
        pytest.skip("MariaDB does not answer at MARIADB_URL")
    return MARIADB_URL, connection
