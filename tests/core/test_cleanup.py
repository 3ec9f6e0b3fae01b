"""`manage.py mcp_oidc_cleanup`: what it deletes, and what it never does."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DataError, OperationalError
from django.test import override_settings
from django.utils import timezone

from mcp_oidc.core import cleanup
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.cleanup import CleanupRun, last_cleanup
from mcp_oidc.core.clients import clients, note_use, register, register_by_hand
from mcp_oidc.core.connections import read_connection
from mcp_oidc.core.issuing import RefreshRequest, refresh
from mcp_oidc.core.logins import PendingLogin, begin_login, take_login
from mcp_oidc.core.revocation import block_client, delete_client, revoke_client, revoke_connection
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.errors import InvalidGrant
from mcp_oidc.models import AbstractClient, Connection, Event, LoginAttempt, UsedAssertion
from tests.core.passing import let_pass
from tests.factories import ISSUER, Opened, make_metadata

pytestmark = pytest.mark.django_db

HOUR = 3600
DAY = 24 * HOUR


def clean_up(**options: Any) -> str:
    out = StringIO()
    call_command("mcp_oidc_cleanup", stdout=out, **options)
    return out.getvalue()


def new_client(**members: Any) -> AbstractClient:
    return register(make_metadata(**members), caller=Caller()).client


def is_there(client: AbstractClient) -> bool:
    return clients().filter(pk=client.pk).exists()


def use(client: AbstractClient) -> None:
    note_use(client)
    client.refresh_from_db()


@pytest.mark.requirement("clients-expire")
def test_client_that_nobody_used_goes_after_a_day() -> None:
    old, young = new_client(), new_client()
    let_pass(DAY + 60, old)
    let_pass(DAY - 60, young)
    assert "Deleted 1 registered clients." in clean_up()
    assert (is_there(old), is_there(young)) == (False, True)


@pytest.mark.requirement("clients-expire")
def test_client_that_was_used_goes_after_ninety_days_without_use() -> None:
    forgotten, recent, again = new_client(), new_client(), new_client()
    for client in (forgotten, recent, again):
        use(client)
    let_pass(90 * DAY + 60, forgotten)
    let_pass(90 * DAY - 60, recent)
    let_pass(300 * DAY, again)
    again.refresh_from_db()
    use(again)
    clean_up()
    assert [is_there(client) for client in (forgotten, recent, again)] == [False, True, True]


def test_lifetimes_are_settings() -> None:
    unused, used = new_client(), new_client()
    use(used)
    let_pass(120, unused, used)
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "CLIENT_UNUSED_LIFETIME": 100, "CLIENT_LIFETIME": 200}):
        clean_up()
        assert (is_there(unused), is_there(used)) == (False, True)
        let_pass(120, used)
        clean_up()
    assert not is_there(used)


@pytest.mark.requirement("cleanup-spares-the-living")
@pytest.mark.requirement("clients-expire")
def test_client_that_somebody_is_connected_with_stays_however_old(opened: Opened, token_set: TokenSet) -> None:
    let_pass(1000 * DAY, opened.client)
    clean_up()
    assert is_there(opened.client)
    asked = RefreshRequest(refresh_token=str(token_set.refresh_token), scopes=(), resource=None)
    assert refresh(asked, opened.client, issuer=ISSUER, caller=Caller()).refresh_token


@pytest.mark.requirement("cleanup-spares-the-living")
def test_client_whose_user_has_just_approved_it_stays(opened: Opened) -> None:
    let_pass(2 * DAY, opened.client)
    clean_up()
    assert is_there(opened.client)


@pytest.mark.requirement("clients-expire")
def test_client_whose_connections_have_all_ended_goes_and_its_events_stay(opened: Opened, token_set: TokenSet) -> None:
    revoke_client(opened.client, "test")
    let_pass(100 * DAY, opened.client)
    clean_up()
    assert not is_there(opened.client)
    assert not Connection.objects.exists()
    event = Event.objects.get(kind="client.registered")
    assert (event.client_id, event.client_name) == (None, "Test client")


@pytest.mark.requirement("clients-expire")
def test_what_an_operator_decided_stays() -> None:
    blocked, trusted, used_and_deleted = new_client(), new_client(), new_client()
    by_hand = register_by_hand(clients().model(), make_metadata(), caller=Caller()).client
    block_client(blocked)
    clients().filter(pk=trusted.pk).update(trust="trusted")
    use(used_and_deleted)
    delete_client(used_and_deleted)
    kept = (blocked, trusted, used_and_deleted, by_hand)
    let_pass(1000 * DAY, *kept)
    clean_up()
    assert all(is_there(client) for client in kept)


def test_client_that_was_deleted_before_anybody_used_it_leaves_nothing_for_good() -> None:
    # Or whoever registers and deletes by turns would fill the table.
    client = new_client()
    delete_client(client)
    clean_up()
    assert is_there(client)
    let_pass(2 * DAY, client)
    clean_up()
    assert not is_there(client)


def test_client_with_an_expired_document_goes_too() -> None:
    client = new_client()
    clients().filter(pk=client.pk).update(registration_source="cimd", cimd_expires_at=timezone.now())
    let_pass(60, client)
    assert "Deleted 1 clients with a metadata document." in clean_up()


@pytest.mark.requirement("clients-expire")
def test_connection_goes_a_week_after_its_end(opened: Opened, token_set: TokenSet) -> None:
    connection = opened.connection
    use(opened.client)
    let_pass(30 * DAY + 6 * DAY, connection)
    assert "Deleted 0 ended connections." in clean_up()
    let_pass(DAY + 60, connection)
    assert "Deleted 1 ended connections." in clean_up()
    assert read_connection(connection.pk) is None
    asked = RefreshRequest(refresh_token=str(token_set.refresh_token), scopes=(), resource=None)
    with pytest.raises(InvalidGrant):
        refresh(asked, opened.client, issuer=ISSUER, caller=Caller())


def test_revoked_connection_is_found_by_a_replay_until_its_tokens_have_expired(
    opened: Opened, token_set: TokenSet
) -> None:
    use(opened.client)
    revoke_connection(opened.connection.pk, "test")
    let_pass(29 * DAY, opened.connection)
    clean_up()
    asked = RefreshRequest(refresh_token=str(token_set.refresh_token), scopes=(), resource=None)
    with pytest.raises(InvalidGrant) as refusal:
        refresh(asked, opened.client, issuer=ISSUER, caller=Caller())
    assert "revoked" in refusal.value.log
    let_pass(10 * DAY, opened.connection)
    clean_up()
    assert not Connection.objects.exists()


def test_logins_and_assertions_go_once_they_have_expired() -> None:
    pending = PendingLogin(provider="upstream", nonce="n", code_verifier="v", next_url="/", max_age=None)
    stale, fresh = begin_login(pending), begin_login(pending)
    let_pass(HOUR, LoginAttempt.objects.order_by("expires_at")[0])
    for name, seconds in (("a", -1), ("b", 60)):
        UsedAssertion.objects.create(jti_hash=name, expires_at=timezone.now() + timedelta(seconds=seconds))
    out = clean_up()
    assert "Deleted 1 unfinished logins." in out
    assert "Deleted 1 used assertions." in out
    assert [row.pk for row in UsedAssertion.objects.all()] == ["b"]
    assert take_login(stale.state, stale.browser_secret) is None
    assert take_login(fresh.state, fresh.browser_secret) == pending


def test_more_rows_than_a_batch_are_deleted() -> None:
    for number in range(7):
        UsedAssertion.objects.create(jti_hash=str(number), expires_at=timezone.now())
        let_pass(2 * DAY, new_client())
    kept = new_client()
    let_pass(60, *UsedAssertion.objects.all())
    out = clean_up(batch_size=3)
    assert "Deleted 7 registered clients." in out
    assert "Deleted 7 used assertions." in out
    assert list(clients()) == [kept]


@pytest.mark.django_db(transaction=True)
def test_sweep_that_was_killed_half_way_is_finished_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(6):
        let_pass(2 * DAY, new_client())
    real, calls = cleanup.clients, []

    def killed_in_the_second_batch() -> Any:
        calls.append(1)
        # Once to find the candidates of each kind, once in each batch.
        if len(calls) > 3:
            raise KeyboardInterrupt
        return real()

    monkeypatch.setattr(cleanup, "clients", killed_in_the_second_batch)
    with pytest.raises(KeyboardInterrupt):
        clean_up(batch_size=2)
    assert clients().count() == 4
    monkeypatch.undo()
    assert "Deleted 4 registered clients." in clean_up(batch_size=2)
    assert not clients().exists()


@pytest.mark.requirement("cleanup-is-recorded")
def test_cleanup_is_an_event_that_tells_what_it_deleted() -> None:
    assert last_cleanup() is None
    let_pass(2 * DAY, new_client())
    clean_up()
    event, run = Event.objects.get(kind="cleanup"), last_cleanup()
    assert event.detail["deleted"]["registered clients"] == 1
    assert run == CleanupRun(event.pk, event.created_at, has_failed=False, reason="")


@pytest.mark.requirement("cleanup-is-recorded")
@pytest.mark.django_db(transaction=True)
def test_cleanup_that_fails_is_an_event_and_fails_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**options: Any) -> int:
        raise DataError("a value that is not shown: sk-secret")

    let_pass(2 * DAY, new_client())
    with monkeypatch.context() as patch:
        patch.setattr(cleanup, "forget_expired_logins", fail)
        with pytest.raises(DataError):
            clean_up()
    run = last_cleanup()
    assert run is not None
    assert (run.has_failed, run.reason) == (True, "DataError")
    # What was done before is done.
    assert Event.objects.get(kind="cleanup").detail["deleted"]["registered clients"] == 1
    clean_up()
    run = last_cleanup()
    assert run is not None
    assert not run.has_failed


def test_cleanup_without_a_database_tells_of_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> int:
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(cleanup, "delete_ended_connections", fail)
    monkeypatch.setattr(cleanup.audit, "record", fail)
    with pytest.raises(OperationalError, match="server closed"):
        clean_up()


@pytest.mark.parametrize("size", [0, -1])
def test_batch_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(CommandError, match="--batch-size"):
        clean_up(batch_size=size)
