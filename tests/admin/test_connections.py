"""Connections in the admin: found by an operator, and ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model
from django.test import Client as Browser

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.issuing import RefreshRequest, refresh
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.errors import InvalidGrant
from mcp_oidc.models import Connection, Event
from tests.admin.pages import add_url, ask, decide, delete_url, list_url, page_url, text_of
from tests.factories import ISSUER, Opened, open_for


@pytest.mark.requirement("admin-revokes-at-once")
def test_a_revoked_connection_cannot_be_refreshed(
    admin_browser: Browser, opened: Opened, token_set: TokenSet, caller: Caller
) -> None:
    decide(admin_browser, "revoke", opened.connection)
    request = RefreshRequest(refresh_token=token_set.refresh_token or "", scopes=(), resource=None)
    with pytest.raises(InvalidGrant):
        refresh(request, opened.client, issuer=ISSUER, caller=caller)


def test_revoking_one_connection_leaves_the_others(admin_browser: Browser, opened: Opened, caller: Caller) -> None:
    bob = local_identity(get_user_model().objects.create_user("bob"))
    other = open_for(opened.client, bob, caller=caller)
    page = text_of(ask(admin_browser, "revoke", opened.connection))
    assert "Connections that end: 1" in page
    decide(admin_browser, "revoke", opened.connection)
    assert list(Connection.objects.filter(revoked_at=None)) == [other.connection]


def test_a_revocation_is_recorded_with_the_operator_and_his_address(admin_browser: Browser, opened: Opened) -> None:
    decide(admin_browser, "revoke", opened.connection)
    event = Event.objects.get(kind="connection.revoked")
    assert event.detail["operator"] == admin_browser.session["_auth_user_id"]
    assert (event.address, event.reason) == ("127.0.0.1", "revoked_by_admin")


def test_a_connection_that_has_ended_is_not_ended_again(admin_browser: Browser, opened: Opened) -> None:
    decide(admin_browser, "revoke", opened.connection)
    decide(admin_browser, "revoke", opened.connection)
    assert Event.objects.filter(kind="connection.revoked").count() == 1
    assert 'name="_selected_action"' not in text_of(admin_browser.get(page_url(opened.connection)))


@pytest.mark.parametrize("permission", ["view_connection", "delete_connection"])
def test_staff_without_the_change_permission_may_not_revoke(
    staff_browser: Callable[..., Browser], opened: Opened, permission: str
) -> None:
    decide(staff_browser(permission), "revoke", opened.connection)
    assert Connection.objects.get().revoked_at is None


def test_staff_with_the_change_permission_may_revoke_but_not_edit(
    staff_browser: Callable[..., Browser], opened: Opened
) -> None:
    browser = staff_browser("change_connection")
    assert browser.post(page_url(opened.connection), {"scopes": "everything"}).status_code == 403
    decide(browser, "revoke", opened.connection)
    assert Connection.objects.get().revoked_at is not None


def test_a_connection_is_neither_added_nor_deleted_by_hand(admin_browser: Browser, opened: Opened) -> None:
    assert admin_browser.get(add_url(Connection)).status_code == 403
    assert admin_browser.post(delete_url(opened.connection), {"post": "yes"}).status_code == 403
    assert Connection.objects.exists()


def test_an_operator_who_looks_for_tokens_finds_them(admin_browser: Browser) -> None:
    assert "access and refresh tokens" in text_of(admin_browser.get(list_url(Connection)))


@pytest.mark.parametrize("term", ["alice", "alice@example.com", "Test client"])
def test_a_connection_is_found_by_its_user_and_client(admin_browser: Browser, opened: Opened, term: str) -> None:
    assert str(opened.connection.pk) in text_of(admin_browser.get(list_url(Connection), {"q": term}))
    assert str(opened.connection.pk) not in text_of(admin_browser.get(list_url(Connection), {"q": f"{term}x"}))


def test_a_connection_is_found_by_the_sub_of_its_tokens_and_by_no_part_of_it(
    admin_browser: Browser, opened: Opened
) -> None:
    subject = opened.connection.subject
    assert str(opened.connection.pk) in text_of(admin_browser.get(list_url(Connection), {"q": subject}))
    assert str(opened.connection.pk) not in text_of(admin_browser.get(list_url(Connection), {"q": subject[:8]}))


def test_living_and_revoked_connections_are_told_apart(admin_browser: Browser, opened: Opened) -> None:
    def listed(state: str) -> bool:
        return str(opened.connection.pk) in text_of(admin_browser.get(list_url(Connection), {"state": state}))

    assert (listed("living"), listed("revoked")) == (True, False)
    decide(admin_browser, "revoke", opened.connection)
    assert (listed("living"), listed("revoked")) == (False, True)
    assert "revoked (by an operator)" in text_of(admin_browser.get(list_url(Connection)))
