"""What the provider keeps, so that a restart costs nobody anything."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any


class Rows:
    """Codes and tokens by kind and name, in a file."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.execute("CREATE TABLE IF NOT EXISTS rows (kind, name, members, PRIMARY KEY (kind, name))")

    def put(self, kind: str, name: str, members: dict[str, Any]) -> None:
        self._execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", kind, name, json.dumps(members))

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        found = self._execute("SELECT members FROM rows WHERE kind = ? AND name = ?", kind, name)
        return json.loads(found[0][0]) if found else None

    def drop(self, kind: str, name: str) -> None:
        self._execute("DELETE FROM rows WHERE kind = ? AND name = ?", kind, name)

    def _execute(self, statement: str, *values: str) -> list[Any]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()
