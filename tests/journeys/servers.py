"""The live sample for journeys, with ports that were free a moment ago."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field

from sample_project.demo.processes import ROOT, running


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Sample:
    """The sample under uvicorn, which a test may stop and start again."""

    port: int
    environment: dict[str, str]
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    @property
    def mcp_url(self) -> str:
        return f"{self.url}/mcp"

    def start(self) -> None:
        """Serve, and return once it does."""
        command = [sys.executable, "-m", "uvicorn", "sample_project.asgi:application", "--port", str(self.port)]
        options = ["--log-level", "warning", "--timeout-graceful-shutdown", "2"]
        self._running.enter_context(running([*command, *options], port=self.port, environment=self.environment))

    def stop(self) -> None:
        """End it, as an operator would."""
        self._running.close()

    def manage(self, *command: str) -> str:
        """Run a management command against the server's database and return what it prints."""
        run = [sys.executable, "manage.py", *command]
        done = subprocess.run(run, env=self.environment, cwd=ROOT, check=True, capture_output=True, text=True)
        return done.stdout
