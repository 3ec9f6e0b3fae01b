"""SQLite is locked by another process: who writes waits, or is told to come again; who reads notices nothing.

FAULTS.md 6.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from tests.factories import REDIRECT_URI
from tests.faults.altered import altered
from tests.faults.clients import McpClient, register
from tests.faults.database import database, rows
from tests.faults.exchanges import Answer, Log, post_json
from tests.faults.people import Person
from tests.faults.servers import Server
from tests.faults.site import Site

# Seconds: how long a server waits for a lock (20 in the sample), and a lock that it outwaits.
BUSY_TIMEOUT = 5
SHORT_LOCK = 3
# What cannot be noted meanwhile is tried once more.
LONG_LOCK = 2 * BUSY_TIMEOUT + 1
# Requests that wait at each server at the same time, besides one of each kind.
CROWD = 30
THREADS = 100
CALLERS = 5
# Seconds that answers may take besides on a machine that is busy.
SLACK = 30
SUCCESS = {"redemption": 200, "refresh": 200, "revocation": 200, "registration": 201, "consent": 302}

pytestmark = pytest.mark.parametrize("running", ["sqlite"], indirect=True)

Ask = Callable[[], Answer | None]
Answering = Future[Answer | None]


@pytest.fixture(scope="module")
def impatient(running: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with altered(running, tmp_path_factory.mktemp("impatient"), BUSY_TIMEOUT=str(BUSY_TIMEOUT)) as site:
        yield site


@pytest.fixture
def site(impatient: Site) -> Site:
    """The site, with servers that wait for a lock only as long as a test does."""
    impatient.start()
    return impatient


class Visitors:
    """At one server, somebody for each request that writes, and for each that only reads."""

    def __init__(self, site: Site, log: Log, server: Server) -> None:
        self.log = log
        self.server = server
        registration = register(site, log)
        self.redeemer, self.refresher, self.revoker, self.revoked = (
            McpClient(site, log, registration) for _ in range(4)
        )
        for client in (self.redeemer, self.refresher, self.revoker, self.revoked):
            client.be_approved()
        for client in (self.refresher, self.revoker, self.revoked):
            assert client.log_in(server)
        self.revoked.revoke(server)
        self.callers = [McpClient(site, log, registration) for _ in range(CALLERS)]
        for client in self.callers:
            client.be_approved()
            assert client.log_in(server)
        self.person = Person(McpClient(site, log, registration))
        self.person.be_asked()
        self.page = self.person.open(server)

    @property
    def writers(self) -> dict[str, Ask]:
        return {
            "redemption": lambda: self.redeemer.send_code(self.server).read(),
            "refresh": lambda: self.refresher.send_refresh(self.server).read(),
            "revocation": lambda: self.revoker.send_revocation(self.server).read(),
            "registration": self.register,
            "consent": lambda: self.person.allow(self.server, self.page).read(),
        }

    @property
    def readers(self) -> dict[str, Ask]:
        return {
            "call": lambda: self.refresher.send_call(self.server).read(),
            "revoked call": lambda: self.revoked.send_call(self.server).read(),
            "consent page": lambda: self.person.open(self.server),
        }

    def register(self) -> Answer | None:
        document = {"client_name": "Faults", "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
        return post_json(self.log, self.server, "/register", document).read()


@pytest.fixture
def visitors(site: Site, log: Log) -> list[Visitors]:
    return [Visitors(site, log, server) for server in site.servers]


@pytest.mark.long
@pytest.mark.requirement("sqlite-locked")
def test_requests_wait_for_a_short_lock_and_succeed(site: Site, visitors: list[Visitors]) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        with locked(site):
            writing = [send_all(pool, each.writers) for each in visitors]
            time.sleep(SHORT_LOCK)
            assert not any(each.done() for answers in writing for each in answers.values())
        for answers in writing:
            assert statuses_of(answers) == SUCCESS
    for each, answers in zip(visitors, writing, strict=True):
        go_on(each, answers)


@pytest.mark.long
@pytest.mark.requirement("sqlite-locked")
def test_requests_that_wait_for_a_lock_in_vain_may_be_tried_again(
    site: Site, log: Log, visitors: list[Visitors]
) -> None:
    before = site.backstage.ask("row_counts")
    with ThreadPoolExecutor(THREADS) as pool:
        with locked(site):
            began = time.monotonic()
            writing = [send_all(pool, each.writers) for each in visitors]
            crowd = [pool.submit(each.writers["refresh"]) for each in visitors * CROWD]
            reading = [send_all(pool, each.readers) for each in visitors]
            # Nobody waits who only reads, and verification has seen what it would see at any time.
            for answers in reading:
                assert statuses_of(answers) == {"call": 200, "revoked call": 401, "consent page": 200}
            list(pool.map(call_all, visitors))
            for answers in writing:
                assert set(statuses_of(answers).values()) == {503}
                assert all(int(answer_of(each).headers["retry-after"]) > 0 for each in answers.values())
            assert {answer_of(each).status for each in crowd} == {503}
            assert time.monotonic() - began < BUSY_TIMEOUT + SLACK
            while time.monotonic() - began < LONG_LOCK:
                list(pool.map(call_all, visitors))
        log.fault_ended = time.monotonic()
        assert site.backstage.ask("row_counts") == before
        again = [send_all(pool, each.writers) for each in visitors]
        for answers in again:
            assert statuses_of(answers) == SUCCESS
    # Calls wait for no lock.
    assert max(each.ended - each.started for each in log.exchanges if each.path == "/mcp/plain") < BUSY_TIMEOUT
    for each, answers in zip(visitors, again, strict=True):
        go_on(each, answers)
    assert rows(site, "PRAGMA integrity_check") == [("ok",)]


@contextmanager
def locked(site: Site) -> Iterator[None]:
    """Nobody else can write until the block ends."""
    with database(site) as cursor:
        cursor.execute("BEGIN EXCLUSIVE")
        yield


def send_all(pool: ThreadPoolExecutor, requests: dict[str, Ask]) -> dict[str, Answering]:
    return {name: pool.submit(ask) for name, ask in requests.items()}


def statuses_of(answers: dict[str, Answering]) -> dict[str, int]:
    return {name: answer_of(answer).status for name, answer in answers.items()}


def answer_of(answering: Answering) -> Answer:
    answer = answering.result()
    assert answer is not None
    return answer


def call_all(visitors: Visitors) -> None:
    """Call with tokens of which it cannot be noted that they were seen: that waits, and nobody waits for it."""
    with ThreadPoolExecutor(CALLERS) as pool:
        assert set(pool.map(lambda client: client.call(visitors.server), visitors.callers)) == {200}


def go_on(visitors: Visitors, answers: dict[str, Answering]) -> None:
    """Everybody goes on with what they were answered, at the other server."""
    there = visitors.person.client.site.other(visitors.server)
    visitors.redeemer.adopt(answer_of(answers["redemption"]))
    visitors.refresher.adopt(answer_of(answers["refresh"]))
    visitors.revoker.is_revoked()
    visitors.person.take_code(answer_of(answers["consent"]))
    assert visitors.person.client.log_in(there)
    clients = (visitors.redeemer, visitors.refresher, visitors.person.client, visitors.revoker)
    assert [client.call(there) for client in clients] == [200, 200, 200, 401]
