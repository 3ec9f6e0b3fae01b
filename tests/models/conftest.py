"""Projects with a database of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.databases import KINDS, fresh_database

ROOT = Path(__file__).parents[2]


# The ordinary suite has time for one of them.
_KINDS = [pytest.param(kind, marks=() if kind == "sqlite" else pytest.mark.long) for kind in KINDS]


@pytest.fixture(params=_KINDS)
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh database, of each kind in turn."""
    with fresh_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def sqlite_database(tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh SQLite database."""
    with fresh_database("sqlite", tmp_path) as url:
        yield url


@pytest.fixture
def mariadb_database(tmp_path: Path) -> Iterator[str]:
    """The URL of a fresh MariaDB database."""
    with fresh_database("mariadb", tmp_path) as url:
        yield url


def run_project(settings: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the settings of a project of `tests.projects`. Warnings are errors there, too."""
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": f"tests.projects.{settings}", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def result_of(settings: str, *commands: str, **environment: str) -> dict[str, Any]:
    """What commands of `tests.projects.commands` tell of a project."""
    finished = run_project(settings, "-m", "tests.projects.commands", *commands, **environment)
    assert finished.returncode == 0, finished.stderr
    told: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return told
