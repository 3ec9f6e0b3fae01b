"""The overview: who is connected, and what was refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.core import overview
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.clients import register
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.overview import Reach, forget_overview, read_overview, recent_refusals
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.models import AbstractClient, Connection, Event, Identity
from tests.factories import Opened, make_metadata, open_for

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


def connect(name: str, client: AbstractClient, *, used: timedelta = timedelta(0)) -> Connection:
    user, _ = get_user_model().objects.get_or_create(username=name)
    row = open_for(client, local_identity(user), caller=Caller()).connection
    Connection.objects.filter(pk=row.pk).update(last_used_at=timezone.now() - used)
    return row


def new_client(name: str) -> AbstractClient:
    return register(make_metadata(client_name=name), caller=Caller()).client


def test_what_has_ended_is_not_counted(public_client: AbstractClient) -> None:
    connect("alice", public_client)
    revoke_connection(connect("bob", public_client).pk, "test")
    expired = connect("carol", public_client)
    Connection.objects.filter(pk=expired.pk).update(expires_at=timezone.now() - DAY)
    assert read_overview().living == Reach(users=1, clients=1, connections=1)


def test_user_and_client_of_several_connections_count_once(public_client: AbstractClient) -> None:
    other = new_client("Other")
    connect("alice", public_client)
    connect("alice", public_client, used=2 * DAY)
    connect("bob", other, used=2 * DAY)
    found = read_overview()
    assert found.living == Reach(users=2, clients=2, connections=3)
    assert found.recent == Reach(users=1, clients=1, connections=1)


def test_machine_client_has_no_user(opened: Opened) -> None:
    Connection.objects.update(user=None, identity=None)
    assert read_overview().living == Reach(users=0, clients=1, connections=1)


def test_most_active_clients_come_first_and_those_of_days_ago_not_at_all() -> None:
    quiet, busy, devices = new_client("Quiet"), new_client("Busy"), new_client("Devices")
    connect("alice", quiet, used=2 * DAY)
    for name in ("alice", "bob"):
        connect(name, busy)
    for _ in range(3):
        connect("alice", devices)
    assert [(each.name, each.users, each.connections) for each in read_overview().busiest] == [
        ("Busy", 2, 2),
        ("Devices", 1, 3),
    ]


def test_list_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_MAX_BUSIEST", 2)
    for name in ("a", "b", "c"):
        connect("alice", new_client(name))
    assert [each.name for each in read_overview().busiest] == ["a", "b"]


def test_numbers_are_kept_for_a_while_and_tell_how_old_they_are(opened: Opened) -> None:
    with CaptureQueriesContext(connection) as first:
        fresh = read_overview()
    assert len(first) == 3
    connect("bob", opened.client)
    with CaptureQueriesContext(connection) as second:
        kept = read_overview()
    assert (len(second), kept) == (0, fresh)
    forget_overview()
    again = read_overview()
    assert (again.living.connections, again.as_of > fresh.as_of) == (2, True)


def test_numbers_are_kept_no_longer_than_promised(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds: list[float] = []
    monkeypatch.setattr(cache, "set", lambda key, value, timeout: seconds.append(timeout))
    read_overview()
    assert seconds == [60]


def test_newest_refusals_come_first_and_no_more_than_ten(identity: Identity, public_client: AbstractClient) -> None:
    for number in range(12):
        record("login", "refused", reason=str(number))
    record("login", "allowed")
    record("consent", "refused", user=identity.user, client=public_client)
    newest = Event.objects.get(reason="11")
    Event.objects.filter(pk=newest.pk).update(created_at=timezone.now() + DAY)
    found = recent_refusals()
    assert (len(found), found[0]) == (10, newest)
    assert {(event.kind, event.outcome) for event in found} == {("login", "refused")}
