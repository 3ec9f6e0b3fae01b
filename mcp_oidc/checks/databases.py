"""Is SQLite set up for more than one request at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.apps import apps
from django.core import checks
from django.db import connections, router

# Seconds. Python's 5 are too few while a migration or a backup holds the lock.
_LEAST_TIMEOUT = 10


@checks.register("mcp_oidc")
def check_sqlite(app_configs: Any, **kwargs: Any) -> list[checks.CheckMessage]:
    """With SQLite's defaults a third of parallel refreshes fail with "database is locked"."""
    # Asked of the router alone: nothing is read.
    alias = router.db_for_write(apps.get_model("mcp_oidc", "Connection"))
    database = connections.settings[alias]
    if not database["ENGINE"].endswith("sqlite3") or _is_in_memory(str(database["NAME"])):
        return []
    missing = _missing_options(database.get("OPTIONS", {}))
    if not missing:
        return []
    lines = ", ".join(missing)
    return [
        checks.Warning(
            f'The database "{alias}" is SQLite with defaults that fail under parallel requests.',
            hint=f'Add {lines} to DATABASES["{alias}"]["OPTIONS"].',
            id="mcp_oidc.W202",
        )
    ]


def _missing_options(options: Mapping[str, Any]) -> list[str]:
    timeout = options.get("timeout")
    wanted = {
        '"transaction_mode": "IMMEDIATE"': str(options.get("transaction_mode")).upper() in ("IMMEDIATE", "EXCLUSIVE"),
        '"init_command": "PRAGMA journal_mode=WAL;"': "wal" in str(options.get("init_command")).lower(),
        '"timeout": 20': isinstance(timeout, int | float) and timeout >= _LEAST_TIMEOUT,
    }
    return [line for line, is_there in wanted.items() if not is_there]


def _is_in_memory(name: str) -> bool:
    return ":memory:" in name or "mode=memory" in name
