"""What only MariaDB could get wrong, on MariaDB."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models.conftest import ROOT


@pytest.mark.long
@pytest.mark.requirement("ids-have-case")
def test_ids_that_differ_in_case_are_told_apart_on_mariadb(mariadb_database: str, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n0",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/models/test_letter_case.py",
    ]
    finished = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": mariadb_database},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout
