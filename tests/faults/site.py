"""A whole site: two server processes of one issuer over one database, and a third process behind the scenes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sample_project.demo.processes import ROOT
from tests.faults.servers import Server, forking
from tests.models.databases import fresh_database

# Not those that the rest of the suite counts and clears in.
REDIS_OFFSET = 8


class Backstage:
    """The process of `tests.faults.backstage`, which several threads may ask."""

    def __init__(self, environment: Mapping[str, str], log: IO[str]) -> None:
        command = [sys.executable, "-m", "tests.faults.backstage"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=log, text=True
        )
        self._turn = threading.Lock()

    def ask(self, command: str, *arguments: Any) -> Any:
        """What a command returns. Raises `RuntimeError` with its traceback."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            print(json.dumps([command, *arguments]), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process behind the scenes has ended; backstage.log beside the servers' says why")
        result, trouble = json.loads(answer)
        if trouble is not None:
            raise RuntimeError(trouble)
        return result

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=20)


@dataclass(frozen=True)
class Site:
    """What a test has to do with. `kind` and `database_url` tell of the database, `issuer` is that of both servers."""

    kind: str
    database_url: str
    issuer: str
    environment: Mapping[str, str]
    servers: tuple[Server, Server]
    backstage: Backstage

    @property
    def resource(self) -> str:
        """The protected endpoint, as tokens name it. Both servers serve it."""
        return f"{self.issuer}/mcp/plain"

    def other(self, server: Server) -> Server:
        """Where to go when `server` does not answer."""
        return self.servers[self.servers.index(server) - 1]

    def start(self) -> None:
        """Start what does not run."""
        for server in self.servers:
            if not server.is_alive:
                server.start()


@contextmanager
def running_site(kind: str, directory: Path) -> Iterator[Site]:
    """A site with a fresh database of this kind, migrated and served, until the block ends."""
    with fresh_database(kind, directory) as database_url:
        environment = environment_of(database_url)
        with backstage_of(environment, directory) as backstage, forking(environment) as forker:
            backstage.ask("migrate")
            servers = (Server("A", forker, directory), Server("B", forker, directory))
            site = Site(kind, database_url, environment["BASE_URL"], environment, servers, backstage)
            site.start()
            yield site


def environment_of(database_url: str) -> dict[str, str]:
    """What every process of a site with this database starts with."""
    return {
        **os.environ,
        **_redis(),
        "DJANGO_SETTINGS_MODULE": "sample_project.settings",
        "DATABASE_URL": database_url,
        "SESSION_SECRET": "faults-only-" * 5,
        "BASE_URL": "http://localhost:8000",
        "ALLOWED_HOSTS": "127.0.0.1",
    }


@contextmanager
def backstage_of(environment: Mapping[str, str], directory: Path) -> Iterator[Backstage]:
    """A process behind the scenes until the block ends."""
    with (directory / "backstage.log").open("w") as log:
        backstage = Backstage(environment, log)
        try:
            yield backstage
        finally:
            backstage.close()


def _redis() -> dict[str, str]:
    if "REDIS_URL" not in os.environ:
        return {}
    server, _, number = os.environ["REDIS_URL"].rpartition("/")
    return {"REDIS_URL": f"{server}/{int(number) + REDIS_OFFSET}"}
