"""Two processes start together on an empty database and become one server: FAULTS.md 17."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.faults.clients import McpClient, register
from tests.faults.database import database
from tests.faults.exchanges import Log, get
from tests.faults.servers import Server, forking
from tests.faults.site import Backstage, Site, backstage_of, environment_of
from tests.models.databases import KINDS, fresh_database

STARTS = 2
KEY_RACES = 5
# Requests to each server that all find no key.
AT_ONCE = 4
# Seconds until a service manager starts a process again that has failed, and in which all have to be done.
PAUSE = 0.5
MIGRATION_SECONDS = 120


class Try(NamedTuple):
    """One run of `migrate`."""

    began: float
    ended: float
    has_succeeded: bool


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site whose database is empty and whose servers do not run."""
    with ExitStack() as until_over:
        database_url = until_over.enter_context(fresh_database(request.param, tmp_path))
        environment = environment_of(database_url)
        backstage = until_over.enter_context(backstage_of(environment, tmp_path))
        forker = until_over.enter_context(forking(environment))
        servers = (Server("A", forker, tmp_path), Server("B", forker, tmp_path))
        yield Site(request.param, database_url, environment["BASE_URL"], environment, servers, backstage)


@pytest.fixture
def rival(site: Site, tmp_path: Path) -> Iterator[Backstage]:
    """Another process that migrates, as on another machine."""
    (tmp_path / "rival").mkdir()
    with backstage_of(site.environment, tmp_path / "rival") as rival:
        yield rival


@pytest.mark.long
@pytest.mark.requirement("started-together")
@pytest.mark.parametrize("start", range(STARTS))
def test_processes_that_start_together_are_one_server(site: Site, rival: Backstage, log: Log, start: int) -> None:
    with ThreadPoolExecutor(2) as pool:
        tries = [each for tries in pool.map(migrate, [site.backstage, rival]) for each in tries]
    finished = min(each.ended for each in tries if each.has_succeeded)
    assert all(each.has_succeeded for each in tries if each.began > finished)
    site.start()
    assert_one_key(site, log)
    for _ in range(KEY_RACES):
        forget_keys(site)
        assert_one_key(site, log)
    for server in site.servers:
        assert "Traceback" not in server.log()


def migrate(backstage: Backstage) -> list[Try]:
    """Migrate, and again after each failure: only one of two can make a table, and the other one fails there.

    It goes on failing while that one is at it, and no longer.
    """
    tries: list[Try] = []
    while not tries or not tries[-1].has_succeeded:
        assert not tries or time.monotonic() < tries[0].began + MIGRATION_SECONDS, "the database cannot be migrated"
        tries.append(try_to_migrate(backstage))
    return tries


def try_to_migrate(backstage: Backstage) -> Try:
    began = time.monotonic()
    try:
        backstage.ask("migrate")
    except RuntimeError:
        failed = time.monotonic()
        # Before a service manager starts it again.
        time.sleep(PAUSE)
        return Try(began, failed, has_succeeded=False)
    return Try(began, time.monotonic(), has_succeeded=True)


def forget_keys(site: Site) -> None:
    """As on the first day: no key is in the database, and no process knows one."""
    for server in site.servers:
        server.kill()
    with database(site) as cursor:
        cursor.execute("DELETE FROM mcp_oidc_signingkey")
    site.start()


def assert_one_key(site: Site, log: Log) -> None:
    """However many need the first key at once, all of both processes publish the same one and take what it signed."""
    asked = [get(log, server, "/jwks") for server in site.servers * AT_ONCE]
    published = [answer.document for answer in (pending.read() for pending in asked) if answer is not None]
    assert len(published) == len(asked)
    assert all(keys == published[0] for keys in published)
    assert len(published[0]["keys"]) == 1
    for server in site.servers:
        client = McpClient(site, log, register(site, log))
        client.be_approved()
        assert client.log_in(server)
        assert [client.call(each) for each in site.servers] == [200, 200]
