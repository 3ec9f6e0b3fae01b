"""All connections of users, ended by an operator: on the page of identities, and in the project's own list of users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser

from mcp_oidc.admin.users import end_connections
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.models import Connection, Consent, Event, Identity
from tests.admin.pages import ask, decide, list_url, page_url, text_of
from tests.factories import REDIRECT_URI, RESOURCE, Opened, open_for

Rows = Callable[[AbstractBaseUser], Any]

# What is chosen in a list, for a user: the identity of theirs, or themselves.
LISTS: dict[str, Rows] = {
    "identities": lambda user: Identity.objects.get(user=user.pk),
    "users": lambda user: user,
}


@pytest.fixture(autouse=True)
def user_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's list of users, with the action as docs/revocation.md says."""
    model_admin = admin.site.get_model_admin(get_user_model())
    monkeypatch.setattr(model_admin, "actions", [end_connections])


@pytest.fixture
def bystander(opened: Opened, caller: Caller) -> Opened:
    """Another user of the same client."""
    return open_for(opened.client, local_identity(get_user_model().objects.create_user("bob")), caller=caller)


def living() -> list[Connection]:
    return list(Connection.objects.filter(revoked_at=None))


@pytest.mark.requirement("admin-revokes-at-once")
@pytest.mark.requirement("admin-is-recorded")
@pytest.mark.parametrize("row_of", LISTS.values(), ids=LISTS)
def test_all_connections_and_approvals_of_a_user_end_and_the_operator_is_recorded(
    admin_browser: Browser, opened: Opened, bystander: Opened, user: AbstractBaseUser, caller: Caller, row_of: Rows
) -> None:
    remember_consent(user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    open_for(opened.client, Identity.objects.get(user=user.pk), caller=caller)
    decide(admin_browser, "end_connections", row_of(user))
    assert living() == [bystander.connection]
    assert not Consent.objects.exists()
    operator = admin_browser.session["_auth_user_id"]
    events = Event.objects.filter(reason="revoked_by_admin")
    assert [event.kind for event in events.order_by("pk")] == ["connection.revoked"] * 2 + ["user.revoked"]
    assert {event.detail["operator"] for event in events} == {operator}


@pytest.mark.requirement("admin-asks-first")
@pytest.mark.parametrize("row_of", LISTS.values(), ids=LISTS)
def test_operator_is_asked_first_and_told_what_ends(
    admin_browser: Browser, opened: Opened, bystander: Opened, user: AbstractBaseUser, row_of: Rows
) -> None:
    bob = bystander.connection.user
    assert bob is not None
    page = text_of(ask(admin_browser, "end_connections", row_of(user), row_of(bob)))
    for text in ("End all connections of these users?", "lose access: 2", "that end: 2", "alice", "bob"):
        assert text in page
    assert len(living()) == 2


@pytest.mark.parametrize(
    ("model", "permission"), [("identities", "view_identity"), ("users", "view_user"), ("users", "delete_user")]
)
def test_staff_without_the_change_permission_may_not_end_them(
    staff_browser: Callable[..., Browser], opened: Opened, user: AbstractBaseUser, model: str, permission: str
) -> None:
    decide(staff_browser(permission), "end_connections", LISTS[model](user))
    assert living() == [opened.connection]


@pytest.mark.parametrize(("model", "permission"), [("identities", "change_identity"), ("users", "change_user")])
def test_staff_with_the_change_permission_may(
    staff_browser: Callable[..., Browser], opened: Opened, user: AbstractBaseUser, model: str, permission: str
) -> None:
    decide(staff_browser(permission), "end_connections", LISTS[model](user))
    assert living() == []


def test_page_of_an_identity_offers_it(admin_browser: Browser, opened: Opened, identity: Identity) -> None:
    assert 'value="End all connections"' in text_of(admin_browser.get(page_url(identity)))


def test_list_of_users_offers_it(admin_browser: Browser) -> None:
    assert "End all MCP connections" in text_of(admin_browser.get(list_url(get_user_model())))


@pytest.mark.requirement("user-inactive")
def test_user_who_is_made_inactive_in_the_admin_loses_everything(
    admin_browser: Browser, opened: Opened, bystander: Opened, user: AbstractBaseUser
) -> None:
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "12:00:00"}
    response = admin_browser.post(page_url(user), {"username": "alice", **joined})
    assert response.status_code == 302, text_of(response)
    assert living() == [bystander.connection]


@pytest.mark.requirement("user-deleted")
def test_users_who_are_deleted_in_their_list_leave_their_events(
    admin_browser: Browser, opened: Opened, bystander: Opened, user: AbstractBaseUser
) -> None:
    decide_to_delete = {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"}
    admin_browser.post(list_url(get_user_model()), decide_to_delete)
    assert living() == [bystander.connection]
    event = Event.objects.get(kind="user.deleted")
    assert (event.subject, event.user_id) == (opened.connection.subject, None)


@pytest.mark.requirement("admin-is-recorded")
def test_operator_who_edits_a_user_in_the_admin_is_recorded(admin_browser: Browser, user: AbstractBaseUser) -> None:
    form = {"username": "alice", "date_joined_0": "2030-01-01", "date_joined_1": "00:00:00", "is_staff": "on"}
    response = admin_browser.post(page_url(user), form)
    assert response.status_code == 302
    event = Event.objects.get(kind="user.changed")
    assert (event.user_id, event.outcome) == (user.pk, "allowed")
    assert event.detail["operator"] == admin_browser.session["_auth_user_id"]
    assert {"Active", "Staff status", "Email address"} <= set(event.detail["changed"])
    assert "alice@example.com" not in str(event.detail)


def test_action_on_a_user_is_no_edit(admin_browser: Browser, user: AbstractBaseUser) -> None:
    decide(admin_browser, "end_connections", user)
    assert not Event.objects.filter(kind="user.changed").exists()
