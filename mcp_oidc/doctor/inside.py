"""What can be seen from inside: settings, database, migrations, cache, sessions and keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core import checks
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.db.migrations.executor import MigrationExecutor

from mcp_oidc.conf import app_settings
from mcp_oidc.core.kept_keys import kept_keys
from mcp_oidc.core.keys import key_ring
from mcp_oidc.doctor.findings import Finding, Level, error, note, ok, warning
from mcp_oidc.errors import OAuthError

SETTINGS, DATABASE, MIGRATIONS, CACHE = "settings", "database", "migrations", "cache"
SESSIONS, SIGNING_KEYS = "sessions", "signing-keys"

# Rotated weekly, as docs/keys.md has it, with a month to forget it in.
_OLD_KEY = timedelta(days=38)
# Seconds that the clocks of the database and of this machine may differ.
_LEEWAY = 10
_TIME = {
    "postgresql": "SELECT now()",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
    "sqlite": "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')",
}
_LEVELS = {checks.WARNING: Level.WARNING, checks.ERROR: Level.ERROR, checks.CRITICAL: Level.ERROR}


def check_inside() -> Iterator[Finding]:
    """Everything of this installation. What needs the database is left out where it does not answer."""
    yield from check_settings()
    yield from check_cache()
    yield from check_sessions()
    try:
        yield from check_database()
        yield from check_migrations()
    except DatabaseError as failure:
        yield error(DATABASE, f"The database does not answer: {failure}", "Look at DATABASES, and whether it is up.")
        return
    yield from check_keys()


def check_settings() -> Iterator[Finding]:
    """Our system checks; those for deployment too, unless DEBUG says that this is none."""
    found = checks.run_checks(tags=["mcp_oidc"], include_deployment_checks=not settings.DEBUG)
    for message in found:
        level = _LEVELS.get(message.level, Level.NOTE)
        if not message.is_silenced():
            yield Finding(level, SETTINGS, f"{message.msg} ({message.id})", str(message.hint or ""))
    if settings.DEBUG:
        yield warning(SETTINGS, "DEBUG is on: errors show settings to anybody.", "DEBUG = False")
    elif not found:
        yield ok(SETTINGS, "The settings are right.")


def check_cache() -> Iterator[Finding]:
    """Whether what is put into the cache can be got out again, and by others."""
    key, value = f"mcp_oidc.doctor.{secrets.token_hex(8)}", secrets.token_hex(8)
    try:
        cache.set(key, value, 60)
        kept = cache.get(key)
        cache.delete(key)
    except Exception as failure:  # noqa: BLE001  # each cache backend fails in its own way
        yield error(CACHE, f"The cache does not answer: {type(failure).__name__}.", 'Look at CACHES["default"].')
        return
    if kept == value:
        yield ok(CACHE, "The cache keeps what it is given.")
    else:
        yield warning(
            CACHE,
            "The cache forgets what it is given: limits do not hold.",
            'A cache in CACHES["default"], such as Redis.',
        )


def check_sessions() -> Iterator[Finding]:
    """Whether logins outlive a restart, and can be ended from elsewhere."""
    engine = settings.SESSION_ENGINE.rpartition(".")[2]
    backend = str(settings.CACHES.get(settings.SESSION_CACHE_ALIAS, {}).get("BACKEND"))
    if engine == "cache" and backend.endswith(("LocMemCache", "DummyCache")):
        yield error(
            SESSIONS,
            "Sessions are kept in the memory of one process: users are logged out by restarts and by other processes.",
            'SESSION_ENGINE = "django.contrib.sessions.backends.db"',
        )
    elif engine == "signed_cookies":
        yield note(
            SESSIONS, "Sessions are in cookies: one that was logged out elsewhere keeps the project's own pages."
        )
    else:
        yield ok(SESSIONS, f"Sessions are kept by {settings.SESSION_ENGINE}.")


def check_database() -> Iterator[Finding]:
    """Whether it is the one that is written to, how it isolates, and its clock."""
    connection = connections[_alias()]
    with connection.cursor() as cursor:
        if connection.vendor in _TIME:
            cursor.execute(_TIME[connection.vendor])
            yield _clock(cursor.fetchone()[0])
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool")
            if cursor.fetchone()[0]:
                mend = "Point DATABASES at the primary: revocations are read where they are written."
                yield error(DATABASE, "The database is a replica, or read-only.", mend)
        elif connection.vendor == "sqlite":
            cursor.execute("PRAGMA journal_mode")
            mode = str(cursor.fetchone()[0]).lower()
            if mode not in ("wal", "memory"):
                mend = '"init_command": "PRAGMA journal_mode=WAL;" in OPTIONS, and a local disk: not NFS.'
                yield warning(
                    DATABASE, f"SQLite's journal mode is {mode}: readers and writers wait for each other.", mend
                )


def check_migrations() -> Iterator[Finding]:
    """Whether the tables are those of this version."""
    executor = MigrationExecutor(connections[_alias()])
    ours = {"mcp_oidc", *_apps_of_own_clients()}
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] in ours]
    missing = [f"{migration.app_label}.{migration.name}" for migration, _ in executor.migration_plan(targets)]
    if missing:
        mend = "python manage.py migrate"
        yield error(MIGRATIONS, f"The database lacks {len(missing)} migrations, {missing[0]} first.", mend)
    else:
        yield ok(MIGRATIONS, "The database has all tables of this version.")


def check_keys() -> Iterator[Finding]:
    """Whether there is a key to sign with, and when it was made."""
    try:
        in_settings = app_settings.JWKS is not None
        if not in_settings and not kept_keys():
            # To look for it would make it.
            yield note(SIGNING_KEYS, "There is no signing key yet: the first is made when it is needed.")
            return
        signing = key_ring(max_age=0).signing
    except (OAuthError, ImproperlyConfigured, DatabaseError) as failure:
        yield error(
            SIGNING_KEYS,
            f"There is no key to sign with: {failure}",
            "docs/keys.md: JWKS, or SECRET_KEY as it was, or `python manage.py mcp_oidc_rotate_keys --now`.",
        )
        return
    if in_settings:
        yield ok(SIGNING_KEYS, f"The key {signing.kid} of JWKS signs.")
        return
    kept = kept_keys()
    made_at = max((each.row.created_at for each in kept), default=None)
    if made_at is not None and kept[0].now - made_at > _OLD_KEY:
        days = (kept[0].now - made_at).days
        mend = "Run `python manage.py mcp_oidc_rotate_keys` weekly, by cron or a timer."
        yield warning(SIGNING_KEYS, f"The newest signing key is {days} days old.", mend)
    else:
        yield ok(SIGNING_KEYS, f"The key {signing.kid} signs.")


def _clock(value: Any) -> Finding:
    time = datetime.fromisoformat(value) if isinstance(value, str) else value
    time = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    difference = (datetime.now(UTC) - time).total_seconds()
    if abs(difference) > _LEEWAY:
        message = f"This machine's clock is {difference:+.0f} seconds off the database's: tokens seem old or early."
        return error(DATABASE, message, "Let both follow a time server (NTP).")
    return ok(DATABASE, "The database answers, and its clock agrees with this machine's.")


def _alias() -> str:
    return router.db_for_write(apps.get_model("mcp_oidc", "Connection"))


def _apps_of_own_clients() -> set[str]:
    return {settings.OAUTH2_PROVIDER_APPLICATION_MODEL.partition(".")[0]}
