"""Revocation: what ends, what is told of it, and what is left alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc import signals
from mcp_oidc.core import audit, endings, revocation
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import find_client, register
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.issuing import RefreshRequest, redeem_code, refresh
from mcp_oidc.errors import InvalidGrant
from mcp_oidc.models import AbstractClient, Connection, Consent, Event, Identity
from tests.core.parallel import in_parallel
from tests.factories import ISSUER, REDIRECT_URI, RESOURCE, Opened, make_metadata, open_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def two(opened: Opened, identity: Identity, caller: Caller) -> tuple[Opened, Opened]:
    """Two devices of one user with one client."""
    return opened, open_for(opened.client, identity, caller=caller)


@pytest.fixture
def elsewhere(opened: Opened, caller: Caller) -> Opened:
    """Another user, with another client."""
    client = register(make_metadata(client_name="Other"), caller=caller).client
    return open_for(client, local_identity(get_user_model().objects.create_user("bob")), caller=caller)


def living() -> set[Any]:
    return set(Connection.objects.filter(revoked_at=None).values_list("pk", flat=True))


def approve(user: AbstractBaseUser, client: AbstractClient) -> None:
    remember_consent(user, client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=("mcp",))


def test_one_connection_ends_and_the_others_live(two: tuple[Opened, Opened], elsewhere: Opened, caller: Caller) -> None:
    assert revocation.revoke_connection(two[0].connection.pk, "by the user", caller=caller)
    assert living() == {two[1].connection.pk, elsewhere.connection.pk}
    two[0].connection.refresh_from_db()
    assert two[0].connection.revoked_reason == "by the user"
    event = Event.objects.get(kind="connection.revoked")
    assert (event.reason, event.connection_id, event.address) == (
        "by the user",
        two[0].connection.pk,
        caller.address,
    )


@pytest.mark.requirement("revoked-once")
def test_connection_ends_once_and_keeps_its_reason(opened: Opened) -> None:
    assert revocation.revoke_connection(opened.connection.pk, "first")
    assert not revocation.revoke_connection(opened.connection.pk, "second")
    opened.connection.refresh_from_db()
    assert opened.connection.revoked_reason == "first"
    assert Event.objects.filter(kind="connection.revoked").count() == 1


def test_unknown_connection_is_not_ended() -> None:
    assert not revocation.revoke_connection(Connection().pk, "test")


def test_client_ends_with_all_connections_and_approvals(
    two: tuple[Opened, Opened], elsewhere: Opened, user: AbstractBaseUser
) -> None:
    approve(user, two[0].client)
    approve(user, elsewhere.client)
    assert revocation.revoke_client(two[0].client, "compromised") == 2
    assert living() == {elsewhere.connection.pk}
    assert [consent.client_id for consent in Consent.objects.all()] == [elsewhere.client.pk]
    event = Event.objects.get(kind="client.revoked")
    assert (event.detail, event.client_name) == ({"connections": 2}, "Test client")
    # It may begin anew.
    assert find_client(two[0].client.client_id) == two[0].client


def test_user_ends_with_all_connections_and_approvals(
    two: tuple[Opened, Opened], elsewhere: Opened, user: AbstractBaseUser, caller: Caller
) -> None:
    approve(user, two[0].client)
    other = elsewhere.connection.user
    assert other is not None
    approve(other, elsewhere.client)
    assert revocation.revoke_user(user, "left the company", caller=caller) == 2
    assert living() == {elsewhere.connection.pk}
    assert [consent.user_id for consent in Consent.objects.all()] == [other.pk]
    event = Event.objects.get(kind="user.revoked")
    assert (event.user_id, event.reason, event.detail) == (user.pk, "left the company", {"connections": 2})
    assert event.address == caller.address


def test_nothing_is_told_of_a_user_who_has_nothing(user: AbstractBaseUser) -> None:
    assert revocation.revoke_user(user, "test") == 0
    assert not Event.objects.exists()


def test_user_disconnects_one_client(
    two: tuple[Opened, Opened], elsewhere: Opened, user: AbstractBaseUser, caller: Caller
) -> None:
    other = open_for(elsewhere.client, local_identity(user), caller=caller)
    approve(user, two[0].client)
    approve(user, elsewhere.client)
    assert revocation.disconnect(user, two[0].client, caller=caller) == 2
    assert living() == {elsewhere.connection.pk, other.connection.pk}
    assert [consent.client_id for consent in Consent.objects.all()] == [elsewhere.client.pk]
    event = Event.objects.get(kind="consent.revoked")
    assert (event.user_id, event.client_id, event.reason) == (user.pk, two[0].client.pk, "user_request")


def test_identity_ends_with_all_connections_and_keeps_what_was_approved(
    two: tuple[Opened, Opened], elsewhere: Opened, identity: Identity, user: AbstractBaseUser
) -> None:
    approve(user, two[0].client)
    assert revocation.revoke_identity(identity.pk, "idp_refused") == 2
    assert living() == {elsewhere.connection.pk}
    assert Consent.objects.exists()


def test_withdrawn_approval_ends_the_connections_of_its_user_and_client(
    two: tuple[Opened, Opened], elsewhere: Opened, user: AbstractBaseUser
) -> None:
    approve(user, two[0].client)
    assert revocation.revoke_consent(Consent.objects.get()) == 2
    assert living() == {elsewhere.connection.pk}
    assert not Consent.objects.exists()


def test_blocked_client_is_unknown_until_it_is_unblocked_and_its_connections_stay_dead(opened: Opened) -> None:
    revocation.block_client(opened.client)
    assert find_client(opened.client.client_id) is None
    assert living() == set()
    revocation.unblock_client(opened.client)
    assert find_client(opened.client.client_id) == opened.client
    assert living() == set()


def test_deleted_client_leaves_a_tombstone(opened: Opened) -> None:
    revocation.delete_client(opened.client)
    opened.client.refresh_from_db()
    assert opened.client.deleted_at is not None
    assert find_client(opened.client.client_id) is None
    assert living() == set()


def test_client_that_is_deleted_again_keeps_its_moment(opened: Opened) -> None:
    revocation.delete_client(opened.client)
    opened.client.refresh_from_db()
    moment = opened.client.deleted_at
    revocation.delete_client(opened.client)
    opened.client.refresh_from_db()
    assert opened.client.deleted_at == moment
    assert Event.objects.filter(kind="client.deleted").count() == 1


@pytest.fixture
def heard() -> Iterator[list[dict[str, Any]]]:
    """What receivers of `connection_revoked` were told."""
    told: list[dict[str, Any]] = []

    def hear(sender: Any, signal: Any, **kwargs: Any) -> None:
        told.append(kwargs)

    signals.connection_revoked.connect(hear)
    yield told
    signals.connection_revoked.disconnect(hear)


@pytest.mark.requirement("revoked-signal")
def test_signal_follows_when_it_is_certain(
    two: tuple[Opened, Opened], heard: list[dict[str, Any]], django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        revocation.revoke_client(two[0].client, "test")
        assert heard == []
    assert sorted(heard, key=str) == sorted(
        (
            {
                "connection_id": each.connection.pk,
                "user_id": each.connection.user_id,
                "client_id": each.client.pk,
                "reason": "test",
            }
            for each in two
        ),
        key=str,
    )


@pytest.mark.requirement("revoked-once")
def test_revocation_without_its_event_is_none(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the events cannot be written")

    monkeypatch.setattr(audit, "record_each", fail)
    with pytest.raises(RuntimeError):
        revocation.revoke_connection(opened.connection.pk, "test")
    assert living() == {opened.connection.pk}


@pytest.fixture
def many(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> int:
    """2,500 connections of one client, which end in 25 batches."""
    first, now = opened.connection, timezone.now()
    columns = {"client_id": first.client_id, "user_id": first.user_id, "identity_id": first.identity_id}
    times = {"created_at": now, "last_used_at": now, "expires_at": now + timedelta(days=1)}
    more = [Connection(subject=first.subject, resource=RESOURCE, **columns, **times) for _ in range(2499)]
    Connection.objects.bulk_create(more)
    monkeypatch.setattr(endings, "BATCH_SIZE", 100)
    return 2500


@pytest.mark.requirement("revocation-in-batches")
def test_many_connections_end_each_with_its_event_in_few_statements(many: int, opened: Opened) -> None:
    with CaptureQueriesContext(database) as queries:
        assert revocation.revoke_client(opened.client, "test") == many
    assert living() == set()
    told = Event.objects.filter(kind="connection.revoked", reason="test").values_list("connection_id", flat=True)
    assert len(told) == len(set(told)) == many
    assert {event.detail["connections"] for event in Event.objects.filter(kind="client.revoked")} == {many}
    # SQLite takes few values in one statement, MySQL none.
    assert len(queries) < (25 * 110 if database.vendor == "mysql" else 25 * 25)


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("revocation-in-batches")
def test_revocation_that_was_cut_off_goes_on_where_it_was(
    many: int, opened: Opened, heard: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record_each, batches = audit.record_each, itertools.count(1)

    def fail_in_the_third(*args: Any, **kwargs: Any) -> Any:
        if next(batches) == 3:
            raise RuntimeError("killed")
        return record_each(*args, **kwargs)

    monkeypatch.setattr(audit, "record_each", fail_in_the_third)
    with pytest.raises(RuntimeError):
        revocation.revoke_client(opened.client, "test")
    ended = Event.objects.filter(kind="connection.revoked").count()
    assert (ended, len(heard), len(living())) == (200, 200, many - 200)
    assert revocation.revoke_client(opened.client, "test") == many - 200
    assert (Event.objects.filter(kind="connection.revoked").count(), len(heard)) == (many, many)


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("revoked-once")
def test_eight_revocations_at_once_are_told_once(opened: Opened) -> None:
    results = in_parallel(lambda: revocation.revoke_connection(opened.connection.pk, "test"))
    assert sorted(results) == [False] * 7 + [True]
    assert Event.objects.filter(kind="connection.revoked").count() == 1


@pytest.mark.django_db(transaction=True)
def test_eight_revocations_of_a_client_at_once_are_told_once(opened: Opened) -> None:
    counts = in_parallel(lambda: revocation.revoke_client(opened.client, "test"))
    assert sum(counts) == 1
    assert Event.objects.filter(kind="connection.revoked").count() == 1


def test_connection_that_slipped_in_beside_a_block_ends_when_its_client_is_unblocked(
    opened: Opened,
) -> None:
    revocation.block_client(opened.client)
    Connection.objects.update(revoked_at=None)
    revocation.unblock_client(opened.client)
    assert living() == set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", [revocation.block_client, revocation.delete_client])
def test_client_ends_without_a_deadlock_while_its_codes_are_redeemed(
    end: Callable[[AbstractClient], None],
    public_client: AbstractClient,
    identity: Identity,
    signing_key: object,
    caller: Caller,
) -> None:
    codes = [open_for(public_client, identity, caller=caller) for _ in range(28)]
    turns = iter([None, *range(7)])

    def act() -> None:
        turn = next(turns)
        if turn is None:
            end(public_client)
            return
        for opened in codes[turn::7]:
            with suppress(InvalidGrant):
                redeem_code(opened.request, public_client, issuer=ISSUER, caller=caller)

    in_parallel(act)
    assert living() == set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("revocation-in-batches")
def test_revocations_of_all_kinds_and_refreshes_at_once_wait_for_each_other_and_lose_nothing(
    signing_key: object, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "BATCH_SIZE", 3)
    people = [local_identity(get_user_model().objects.create_user(f"user-{number}")) for number in range(4)]
    apps = [register(make_metadata(client_name=f"App {number}"), caller=caller).client for number in range(4)]
    opened = [open_for(app, person, caller=caller) for app in apps for person in people for _ in range(3)]
    tokens = [(each, redeem_code(each.request, each.client, issuer=ISSUER, caller=caller)) for each in opened]
    deeds: list[Callable[[], object]] = [
        lambda: [revocation.revoke_user(person.user, "test") for person in people],
        lambda: [revocation.revoke_client(app, "test") for app in reversed(apps)],
        lambda: [revocation.revoke_identity(person.pk, "test") for person in reversed(people)],
        lambda: [revocation.disconnect(person.user, app) for app in apps for person in people],
        lambda: [revocation.revoke_connection(each.connection.pk, "test") for each in opened],
        # Django's own transaction, which MariaDB may give up for another one: then somebody does it again.
        retry_conflicts(get_user_model().objects.filter(pk=people[0].user_id).delete),
    ]
    turns = itertools.count()

    def act() -> None:
        turn = next(turns)
        if turn < len(deeds):
            deeds[turn]()
            return
        for each, token_set in tokens[turn % 2 :: 2]:
            with suppress(InvalidGrant):
                request = RefreshRequest(refresh_token=str(token_set.refresh_token), scopes=(), resource=None)
                refresh(request, each.client, issuer=ISSUER, caller=caller)

    in_parallel(act)
    assert living() == set()
    told = Event.objects.filter(kind="connection.revoked").values_list("connection_id", flat=True)
    assert sorted(told) == sorted(each.connection.pk for each in opened)
