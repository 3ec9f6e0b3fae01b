"""mcp-authlab, a scanner of MCP authorization, against the live sample: it logs in, attacks, and grades."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.node.desktop_browser import DesktopBrowser
from tests.journeys.servers import Sample

PACKAGE = "mcp-authlab==0.2.2"
# The sample is served on loopback, without TLS.
EXPECTED_WARNINGS = ["TLS-01"]

pytestmark = pytest.mark.long


class Scanner:
    """The scanner's command, with a home and a browser of its own."""

    def __init__(self, program: Path, sample: Sample, home: Path) -> None:
        self._program = program
        self._url = sample.mcp_url
        home.mkdir()
        self._environment = {**os.environ, **DesktopBrowser(home).environment, "XDG_CONFIG_HOME": str(home)}

    def log_in(self, *options: str) -> None:
        self._run("login", self._url, "--thorough", "--timeout", "30", *options)

    def scan(self) -> dict[str, Any]:
        """The report, which must be of grade A."""
        report: dict[str, Any] = json.loads(self._run("scan", self._url, "--format", "json", "--fail-under", "A"))
        return report

    def _run(self, *arguments: str) -> str:
        command = [str(self._program), *arguments]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed away from the project: it is pure Python, and nothing of ours needs it."""
    home = tmp_path_factory.mktemp("authlab")
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, PACKAGE], check=True)
    return home / "bin/mcp-authlab"


@pytest.fixture
def scanner(program: Path, sample: Sample, tmp_path: Path) -> Scanner:
    return Scanner(program, sample, tmp_path / "home")


def statuses(report: dict[str, Any]) -> dict[str, list[str]]:
    """The ids of the checks by what came of them."""
    found: dict[str, list[str]] = {}
    for check in report["results"]:
        found.setdefault(check["status"], []).append(check["id"])
    return found


@pytest.mark.requirement("clients-authlab")
def test_scan_after_a_thorough_login_is_of_grade_a_with_nothing_failed(scanner: Scanner) -> None:
    scanner.log_in()
    found = statuses(scanner.scan())
    # It asks for a token for the issuer itself by default, which is no resource of ours: invalid_target.
    assert {"fail", "error"}.isdisjoint(found)
    assert found["skip"] == ["ASF-03", "TOK-03"]
    assert found["warn"] == EXPECTED_WARNINGS


@pytest.mark.requirement("clients-authlab")
def test_scan_with_a_token_for_another_resource_of_ours_leaves_no_check_out(scanner: Scanner, sample: Sample) -> None:
    scanner.log_in("--foreign-resource", f"{sample.mcp_url}/plain")
    found = statuses(scanner.scan())
    assert set(found) == {"pass", "warn"}
    assert found["warn"] == EXPECTED_WARNINGS
