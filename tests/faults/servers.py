"""A server process that may be killed and started again on its port, as often as a test likes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sample_project.demo.processes import ROOT, is_up
from tests.faults.chance import chance

START_SECONDS = 60
# Below the ports that the kernel gives to clients, of which there are thousands here: one of them would sooner or later
# sit on the port of a server that is down, or even reach itself there.
PORTS = range(20000, 30000)


class Forker:
    """The process that forks the servers. It dies, and they with it, when this one does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "tests.faults.forking"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)

    def fork(self, arguments: list[str], log: Path) -> int:
        """Start a server and return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"arguments": arguments, "log": str(log)}), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Kill what still serves."""
        self._process.communicate(timeout=START_SECONDS)


@contextmanager
def forking(environment: Mapping[str, str]) -> Iterator[Forker]:
    """A forker until the block ends."""
    forker = Forker(environment)
    try:
        yield forker
    finally:
        forker.close()


class Server:
    """One of the processes that share an issuer and a database."""

    def __init__(self, name: str, forker: Forker, directory: Path) -> None:
        self.name = name
        self.port = _free_port()
        self.log_file = directory / f"server-{name}.log"
        self.log_file.touch()
        self._forker = forker
        self._pid: int | None = None

    def start(self, *arguments: str) -> None:
        """Serve, and return once it does. `arguments` are further ones of uvicorn's command."""
        self._pid = self._forker.fork(["--port", str(self.port), *arguments], self.log_file)
        deadline = time.monotonic() + START_SECONDS
        while not is_up(self.port):
            assert self.is_alive, f"server {self.name} ended as it started: {self.log()[-2000:]}"
            assert time.monotonic() < deadline, f"server {self.name} does not start"
            time.sleep(0.005)

    def kill(self) -> None:
        """`kill -9`: nothing is finished and nobody is told."""
        self._signal(signal.SIGKILL)
        self.wait_until_gone(START_SECONDS)

    def terminate(self) -> None:
        """`SIGTERM`, as an operator's service manager sends it. `wait_until_gone` waits for the end."""
        self._signal(signal.SIGTERM)

    def wait_until_gone(self, timeout: float) -> None:
        """Wait for the end of the process. Fails if it takes longer than `timeout`, in seconds."""
        deadline = time.monotonic() + timeout
        while self.is_alive:
            assert time.monotonic() < deadline, f"server {self.name} does not end within {timeout} seconds"
            time.sleep(0.002)

    @property
    def is_alive(self) -> bool:
        try:
            self._signal(0)
        except ProcessLookupError:
            return False
        return True

    @property
    def log_size(self) -> int:
        """Where the next line of its log will begin, in bytes."""
        return self.log_file.stat().st_size

    def log(self, since: int = 0) -> str:
        """What it wrote to stdout and stderr, in all its lives, from the byte `since` on."""
        with self.log_file.open("rb") as file:
            file.seek(since)
            return file.read().decode(errors="replace")

    def _signal(self, number: int) -> None:
        if self._pid is None:
            raise ProcessLookupError(f"server {self.name} was not started")
        os.kill(self._pid, number)


# Each is given once.
_ports = iter(chance.sample(PORTS, len(PORTS)))


def _free_port() -> int:
    return next(port for port in _ports if not is_up(port))
