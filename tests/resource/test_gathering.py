"""Rows for event loops: what is asked together, and that nobody gets an answer that is older than his question."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import living, revocation
from mcp_oidc.core.keys import key_ring
from mcp_oidc.core.living_cache import LivingRow
from mcp_oidc.core.sightings import wait_for_sightings
from mcp_oidc.errors import TemporarilyUnavailable
from mcp_oidc.models import Connection
from mcp_oidc.resource import gathering, workers
from mcp_oidc.resource.gathering import read_row
from mcp_oidc.resource.workers import Workers
from tests.core.parallel import in_parallel
from tests.resource.entry_points import ASGI_APPS, Call, acall_asgi
from tests.resource.forgery import claims_of
from tests.resource.worlds import Issue

Wanted = Mapping[uuid.UUID, int]
app = ASGI_APPS["mcp"]
KEYS = [uuid.uuid4() for _ in range(150)]


class Database:
    """In the place of `living_rows`: notes what it is asked for, and answers when it may."""

    def __init__(self) -> None:
        self.asked: list[Wanted] = []
        self.may_answer = threading.Event()
        self.is_asked = threading.Event()
        self.failure: Exception | None = None

    def __call__(self, wanted: Wanted) -> dict[uuid.UUID, LivingRow]:
        self.asked.append(dict(wanted))
        number = len(self.asked)
        self.is_asked.set()
        if number == 1:
            assert self.may_answer.wait(30)
        if self.failure is not None:
            raise self.failure
        return {key: LivingRow(key, "subject", f"answer {number}", "resource", 1, 1, 1, None) for key in wanted}


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    monkeypatch.setattr(gathering, "living_rows", database)
    monkeypatch.setattr(gathering, "PATIENCE", 30)
    return database


def run(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(work())


def ask(key: uuid.UUID, generation: int = 1) -> asyncio.Task[LivingRow | None]:
    return asyncio.ensure_future(read_row(key, generation))


async def asking(database: Database, key: uuid.UUID = KEYS[0]) -> asyncio.Task[LivingRow | None]:
    """A question that the database has not answered yet."""
    question = ask(key)
    assert await asyncio.to_thread(database.is_asked.wait, 30)
    return question


class TestWithoutADatabase:
    """The order of questions and answers."""

    pytestmark = pytest.mark.usefixtures("_no_connections")

    @pytest.fixture
    def _no_connections(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("mcp_oidc.resource.workers.close_old_connections", lambda: None)
        monkeypatch.setattr("mcp_oidc.resource.databases.close_old_connections", lambda: None)

    def test_who_comes_while_the_database_is_asked_shares_the_next_question(self, database: Database) -> None:
        async def work() -> None:
            first = await asking(database)
            others = [ask(key, number) for number, key in enumerate(KEYS[:20])]
            await asyncio.sleep(0)
            database.may_answer.set()
            rows = await asyncio.gather(first, *others)
            assert [row.connection_id for row in rows if row] == [KEYS[0], *KEYS[:20]]

        run(work)
        assert database.asked == [{KEYS[0]: 1}, {key: number for number, key in enumerate(KEYS[:20])}]

    def test_nobody_gets_an_answer_to_a_question_that_was_asked_before_his(self, database: Database) -> None:
        async def work() -> None:
            first = await asking(database)
            second = ask(KEYS[0])
            await asyncio.sleep(0)
            database.may_answer.set()
            rows = await asyncio.gather(first, second)
            assert [row.client_id for row in rows if row] == ["answer 1", "answer 2"]

        run(work)

    def test_no_question_is_longer_than_a_query_may_be(self, database: Database) -> None:
        async def work() -> None:
            first = await asking(database)
            others = [ask(key) for key in KEYS]
            await asyncio.sleep(0)
            database.may_answer.set()
            await asyncio.gather(first, *others)

        run(work)
        assert [len(wanted) for wanted in database.asked] == [1, living.MAX_TOGETHER, living.MAX_TOGETHER, 22]

    def test_highest_generation_of_a_connection_is_asked_for(self, database: Database) -> None:
        async def work() -> None:
            first = await asking(database)
            others = [ask(KEYS[1], generation) for generation in (2, 3, 1)]
            await asyncio.sleep(0)
            database.may_answer.set()
            await asyncio.gather(first, *others)

        run(work)
        assert database.asked[1:] == [{KEYS[1]: 3}]

    def test_query_that_hangs_holds_nobody_else_up(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(gathering, "PATIENCE", 0.01)

        async def work() -> None:
            first = await asking(database)
            assert await ask(KEYS[1])
            assert not first.done()
            database.may_answer.set()
            assert await first

        run(work)

    def test_failure_is_told_to_all_that_asked_and_to_nobody_after_them(self, database: Database) -> None:
        async def work() -> None:
            first = await asking(database)
            others = [ask(key) for key in KEYS[:3]]
            await asyncio.sleep(0)
            database.failure = OperationalError("the connection was lost")
            database.may_answer.set()
            failures = await asyncio.gather(first, *others, return_exceptions=True)
            assert {type(failure) for failure in failures} == {TemporarilyUnavailable}
            database.failure = None
            assert await read_row(KEYS[0], 1)

        run(work)

    def test_who_gives_up_disturbs_nobody(self, database: Database) -> None:
        async def work() -> None:
            first = await asking(database)
            impatient, patient = ask(KEYS[1]), ask(KEYS[1])
            await asyncio.sleep(0)
            impatient.cancel()
            first.cancel()
            database.may_answer.set()
            row = await patient
            assert row is not None
            assert row.connection_id == KEYS[1]
            assert impatient.cancelled()

        run(work)

    def test_each_loop_asks_for_itself_and_leaves_nothing_behind(self, database: Database) -> None:
        database.may_answer.set()
        gc.collect()
        before = len(gathering._gatherers)

        def ask_twice() -> LivingRow | None:
            run(lambda: read_row(KEYS[0], 1))
            row: LivingRow | None = run(lambda: read_row(KEYS[0], 1))
            return row

        rows = in_parallel(ask_twice, threads=4)
        assert [row.connection_id for row in rows if isinstance(row, LivingRow)] == [KEYS[0]] * 4
        gc.collect()
        assert len(gathering._gatherers) <= before


@pytest.fixture
def _told() -> Iterator[None]:
    yield
    assert wait_for_sightings(30)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_told")
class TestWithTheDatabase:
    """Through `BearerMiddleware`."""

    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many rows each query was for."""
        asked: list[int] = []

        def living_rows(wanted: Wanted) -> dict[uuid.UUID, LivingRow]:
            asked.append(len(wanted))
            return living.living_rows(wanted)

        monkeypatch.setattr(gathering, "living_rows", living_rows)
        return asked

    @pytest.fixture
    def keeping(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
        """One thread, which keeps its connection."""
        workers = Workers("keeping", size=1, timeout=30)
        monkeypatch.setattr(gathering, "verification_workers", workers)
        monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 600)
        yield workers
        run(lambda: workers.run(connections.close_all))

    def test_each_of_many_at_once_gets_the_answer_to_his_own_token(self, issue: Issue, asked: list[int]) -> None:
        tokens = [issue().access_token for _ in range(11)]
        for token in tokens[2:6]:
            revocation.revoke_connection(claims_of(token)["sid"], "test")
        key_ring()
        assert call_all(tokens) == [200] * 2 + [401] * 4 + [200] * 5
        assert asked == [11]

    @pytest.mark.requirement("revocation-at-once")
    def test_revocation_bites_at_the_next_request(self, issue: Issue, asked: list[int]) -> None:
        tokens = [issue().access_token for _ in range(3)]
        key_ring()
        assert call_all(tokens) == [200] * 3
        Connection.objects.filter(pk=claims_of(tokens[1])["sid"]).update(revoked_at="2026-01-01T00:00:00Z")
        assert call_all(tokens) == [200, 401, 200]
        assert asked == [3, 3]

    @pytest.mark.requirement("few-statements")
    def test_many_rows_are_one_query(self, issue: Issue) -> None:
        for _ in range(5):
            issue()
        keys = list(Connection.objects.values_list("pk", flat=True))
        with CaptureQueriesContext(connection) as queries:
            rows = living.living_rows(dict.fromkeys([*keys, uuid.uuid4()], 1))
        assert len(queries) == 1
        assert {key: row.connection_id for key, row in rows.items()} == {key: key for key in keys}

    def test_what_is_remembered_of_many_is_each_ones_own(
        self, issue: Issue, settings: LazySettings, asked: list[int]
    ) -> None:
        settings.MCP_OIDC = {**settings.MCP_OIDC, "VERIFICATION_CACHE": 20}
        tokens = [issue().access_token for _ in range(3)]
        key_ring()
        assert call_all(tokens) == [200] * 3
        revocation.revoke_connection(claims_of(tokens[1])["sid"], "test")
        assert call_all(tokens) == [200, 401, 200]
        assert asked == [3, 1]

    def test_use_of_each_is_recorded(self, issue: Issue) -> None:
        tokens = [issue().access_token for _ in range(3)]
        key_ring()
        call_all(tokens)
        assert wait_for_sightings(30)
        assert set(Connection.objects.values_list("seen_generation", flat=True)) == {1}

    def test_database_that_is_away_is_a_503_until_it_is_back(
        self, issue: Issue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tokens = [issue().access_token for _ in range(3)]
        key_ring()

        def refuse(*args: Any) -> None:
            raise OperationalError("connection refused")

        with monkeypatch.context() as away:
            away.setattr(type(connections["default"]), "get_new_connection", refuse)
            assert call_all(tokens) == [503] * 3
        assert call_all(tokens) == [200] * 3

    @pytest.mark.skipif(connection.vendor != "postgresql", reason="connections are ended as PostgreSQL does it")
    def test_restart_of_the_database_is_not_noticed(self, issue: Issue, keeping: Workers) -> None:
        tokens = [issue().access_token for _ in range(3)]
        key_ring()
        assert call_all(tokens) == [200] * 3
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.rowcount >= 1
        assert call_all(tokens) == [200] * 3


def call_all(tokens: list[str]) -> list[int]:
    """The statuses of requests with these tokens at the same moment."""

    async def call() -> list[int]:
        calls = [Call(authorization=f"Bearer {token}") for token in tokens]
        answers = await asyncio.gather(*(acall_asgi(app, call) for call in calls))
        return [answer.status for answer in answers]

    statuses: list[int] = run(call)
    return statuses


def test_workers_of_a_forked_process_are_its_own() -> None:
    before = workers.verification_workers._executor
    run(lambda: workers.verification_workers.run(threading.get_ident))
    child = os.fork()
    if child == 0:
        # The parent's thread is not here to do it.
        os._exit(0 if run(lambda: workers.verification_workers.run(lambda: 7)) == 7 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert workers.verification_workers._executor is before
