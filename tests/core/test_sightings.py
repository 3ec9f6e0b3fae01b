"""Sightings: written once for each generation, and not in the time of the request that showed the token."""

from __future__ import annotations

import os
import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import InterfaceError, OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import sightings
from mcp_oidc.core.sightings import see, wait_for_sightings
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.models import Connection
from tests.factories import ISSUER, RESOURCE


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("seen-once")
def test_first_use_costs_the_request_no_statement_more(token_set: TokenSet) -> None:
    with CaptureQueriesContext(connection) as queries:
        verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)
    assert len(queries) == 1
    assert wait_for_sightings()
    assert Connection.objects.get().seen_generation == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("seen-once")
def test_many_uses_at_once_are_written_once(token_set: TokenSet, monkeypatch: pytest.MonkeyPatch) -> None:
    verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)
    assert wait_for_sightings()
    written: list[Any] = []
    monkeypatch.setattr(sightings, "note_seen", lambda *sighting: written.append(sighting))
    for _ in range(5):
        verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)
    assert wait_for_sightings()
    assert written == []


def test_sightings_that_wait_are_gathered(held: Held) -> None:
    first, second = uuid4(), uuid4()
    for generation in (1, 3, 2):
        see(first, generation)
    see(second, 1)
    held.let_go()
    assert wait_for_sightings()
    assert sorted(held.written) == sorted([(held.blocker, 1), (first, 3), (second, 1)])


def test_more_than_can_wait_are_dropped(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sightings, "MAX_WAITING", 2)
    for _ in range(5):
        see(uuid4(), 1)
    held.let_go()
    assert wait_for_sightings()
    assert len(held.written) == 3


def test_waiting_for_them_has_an_end(held: Held) -> None:
    assert not wait_for_sightings(timeout=0.01)
    held.let_go()
    assert wait_for_sightings()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError, InterfaceError, RuntimeError])
def test_database_that_fails_does_not_end_the_recording(
    token_set: TokenSet, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    def fail(*args: Any) -> None:
        raise error("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(sightings, "note_seen", fail)
        verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)
        assert wait_for_sightings()
    assert "could not record the use of a token" in caplog.text
    verify_access_token(token_set.access_token, issuer=ISSUER, resource=RESOURCE)
    assert wait_for_sightings()
    assert Connection.objects.get().seen_generation == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_forked_process_has_a_recorder_of_its_own(held: Held) -> None:
    child = os.fork()
    if child == 0:
        # Nothing waits in the child, though much does in its parent.
        os._exit(0 if wait_for_sightings(timeout=1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.let_go()


class Held:
    """The thread that writes, stopped in the middle of its first sighting."""

    def __init__(self) -> None:
        self.blocker = uuid4()
        self.written: list[Any] = []
        self._is_writing, self._may_go_on = threading.Event(), threading.Event()

    def note_seen(self, *sighting: Any) -> None:
        self._is_writing.set()
        assert self._may_go_on.wait(10)
        self.written.append(sighting)

    def begin(self) -> None:
        see(self.blocker, 1)
        assert self._is_writing.wait(10)

    def let_go(self) -> None:
        self._may_go_on.set()


@pytest.fixture
def held(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    held = Held()
    monkeypatch.setattr(sightings, "note_seen", held.note_seen)
    held.begin()
    yield held
    held.let_go()
    assert wait_for_sightings()
    connections.close_all()
