"""What the guard costs: requests per second of a trivial ASGI app with and without it, and of others beside it.

    python tests/benchmarks/resource.py [--seconds 5] [--workers 1 2] [--database postgres://user@host/postgres]...

Without --database it is SQLite alone. On PostgreSQL it makes databases of its own, and drops them again. All
contenders run under the same uvicorn, with uvloop and httptools where they are installed. Compare within a run only.
`cpu` is what the processes of the server take for a request, in microseconds, the database not among them: it says
more than requests per second where the machine has other things to do.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In the place of this directory, in which `resource` would be this module and not Python's.
sys.path[0] = str(ROOT)

from tests.benchmarks.load import Figures, drive  # noqa: E402

OURS, DOT = "tests.benchmarks.project", "tests.benchmarks.dot_project"
# Characters.
TITLE = 50


@dataclass(frozen=True)
class Filled:
    """A database with rows, and a file of the tokens for them."""

    name: str
    url: str
    tokens: Path
    public_key: str


@dataclass(frozen=True)
class Contender:
    """One line of the table, for a number of workers. `cache` is VERIFICATION_CACHE."""

    title: str
    app: str
    filled: Filled
    cache: int = 0
    one_token: bool = False


def main() -> None:
    options = _options()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sqlite = f"sqlite:///{directory}/{{}}.sqlite3"
        urls = [("SQLite", sqlite.format("ours"), sqlite.format("dot"))]
        for server in options.database:
            ours, dot = (stack.enter_context(scratch_database(server)) for _ in range(2))
            urls.append(("PostgreSQL", ours, dot))
        head = f"{'workers':>8}{'requests/s':>12}{'ratio':>7}{'p50 ms':>9}{'p99 ms':>9}{'cpu µs':>8}{'refused':>9}"
        print(f"{'':{TITLE}}{head}")
        for name, ours_url, dot_url in urls:
            ours = fill(name, ours_url, OURS, directory / f"{name}-ours", options.tokens)
            dot = fill(name, dot_url, DOT, directory / f"{name}-dot", options.tokens)
            listed = [each for each in contenders(ours, dot) if options.only in each.title]
            for workers in options.workers:
                measure(listed, workers, options.seconds)


def contenders(ours: Filled, dot: Filled) -> list[Contender]:
    """The first is what the others are compared with."""
    listed = [
        Contender("unguarded", "unguarded", ours),
        Contender("guarded", "guarded", ours),
        Contender("guarded, one token", "guarded", ours, one_token=True),
        Contender("guarded, VERIFICATION_CACHE", "guarded", ours, cache=60),
        Contender("guarded, VERIFICATION_CACHE, one token", "guarded", ours, cache=60, one_token=True),
        Contender("DOT's OAuth2Authentication", "dot", dot),
    ]
    return [*listed, Contender("FastMCP's JWTVerifier", "fastmcp", ours)] if find_spec("fastmcp") else listed


def measure(listed: list[Contender], workers: int, seconds: float) -> None:
    """Print a line for each."""
    bare = 0.0
    for contender in listed:
        figures, cpu = figures_of(contender, workers, seconds)
        bare = bare or figures.per_second
        title = f"{contender.filled.name}: {contender.title}"
        speed = f"{figures.per_second:>12,.0f}{figures.per_second / bare:>7.2f}{figures.p50:>9.2f}{figures.p99:>9.2f}"
        print(f"{title:{TITLE}}{workers:>8}{speed}{cpu * 1e6:>8.0f}{figures.failures:>9}", flush=True)


def figures_of(contender: Contender, workers: int, seconds: float) -> tuple[Figures, float]:
    """With the processor's seconds for a request. Warmed up for a second first."""
    tokens = contender.filled.tokens
    if contender.one_token:
        only = tokens.with_suffix(".one")
        only.write_text(tokens.read_text().split()[0])
        tokens = only
    with serving(contender, workers) as (port, group):
        drive(port, tokens, 1)
        before = _cpu_of(group)
        figures = drive(port, tokens, seconds)
        return figures, (_cpu_of(group) - before) / figures.requests


@contextmanager
def serving(contender: Contender, workers: int) -> Iterator[tuple[int, int]]:
    """The contender under uvicorn, in processes of its own, until the block ends. Gives its port and their group."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    is_quick = find_spec("uvloop") is not None and find_spec("httptools") is not None
    quick = ["--loop", "uvloop", "--http", "httptools"] if is_quick else []
    command = [sys.executable, "-m", "uvicorn", "tests.benchmarks.apps:app", "--port", str(port), *quick]
    environment = {
        **os.environ,
        "CONTENDER": contender.app,
        "DJANGO_SETTINGS_MODULE": DOT if contender.app == "dot" else OURS,
        "DATABASE_URL": contender.filled.url,
        "PUBLIC_KEY": contender.filled.public_key,
        "VERIFICATION_CACHE": str(contender.cache),
    }
    limits = ["--workers", str(workers), "--no-access-log", "--log-level", "error", "--lifespan", "off"]
    server = subprocess.Popen([*command, *limits], cwd=ROOT, env=environment, start_new_session=True)
    try:
        _wait_for(port)
        yield port, server.pid
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def fill(name: str, url: str, settings: str, tokens: Path, count: int) -> Filled:
    """Make the tables, the rows and the tokens of a project."""
    environment = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": settings}
    command = [sys.executable, "-m", "tests.benchmarks.fill", str(tokens), str(count)]
    said = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Filled(name, url, tokens, said)


@contextmanager
def scratch_database(server: str) -> Iterator[str]:
    """The URL of an empty database at a PostgreSQL server."""
    import psycopg

    name = f"mcp_oidc_benchmark_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield f"{server.rpartition('/')[0]}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _cpu_of(group: int) -> float:
    """The seconds that the processes of a group have used so far; NaN where the system does not tell."""
    ticks = math.nan
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in brackets may hold anything (proc(5)).
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks = sum(map(int, fields[11:13])) + (0 if math.isnan(ticks) else ticks)
    return ticks / os.sysconf("SC_CLK_TCK")


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/mcp", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("The server does not start.")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="part of the titles to measure; the first is compared with")
    parser.add_argument("--tokens", type=int, default=1000, help="distinct tokens, each of a connection of its own")
    parser.add_argument("--database", action="append", default=[], help="URL of a PostgreSQL server")
    return parser.parse_args()


if __name__ == "__main__":
    main()
