"""What an operator does about a person in the admin: logins end, the provider's tokens go, the provider is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from mcp_oidc.admin.users import AccessAdmin
from mcp_oidc.core.audit import NOBODY
from mcp_oidc.models import AbstractClient, Connection, Event, Identity, IdpTokenSet, LoginSession
from mcp_oidc.upstream import revalidation
from mcp_oidc.upstream.idp_revocation import wait_for_revocations
from mcp_oidc.upstream.revalidation import Answer, ask_again, wait_for_answers
from tests.admin.pages import ask, decide, list_url, page_url, text_of
from tests.idp import Idp
from tests.server.authorizations import redeem
from tests.upstream.browser import Browser

pytestmark = pytest.mark.django_db(transaction=True)

Rows = Callable[[Identity], Any]
# What is chosen in a list: an identity, or its user.
LISTS: dict[str, Rows] = {"identities": lambda identity: identity, "users": lambda identity: identity.user}


class MemberAdmin(AccessAdmin, UserAdmin):
    """The admin of a project's users, as docs/admin.md says."""


@pytest.fixture(autouse=True)
def members(settings: LazySettings, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's list of users. The one that is registered becomes ours: the URLs are bound to it already."""
    monkeypatch.setattr(admin.site.get_model_admin(get_user_model()), "__class__", MemberAdmin)
    settings.ROOT_URLCONF = "tests.urls"


@pytest.fixture
def alice(browser: Browser, public_client: AbstractClient, signing_key: object, idp: Idp) -> Identity:
    """Somebody who logged in, and has one connection."""
    idp.has_revocation = True
    browser.log_in()
    redeem(browser.client, public_client)
    idp.requests.clear()
    return Identity.objects.get()


@pytest.fixture
def operator(db: None) -> Client:
    return _logged_in(is_superuser=True)


@pytest.mark.requirement("admin-users")
@pytest.mark.parametrize("row_of", LISTS.values(), ids=LISTS)
def test_login_ends_in_the_browser_and_connections_stay(
    alice: Identity, browser: Browser, operator: Client, row_of: Rows
) -> None:
    assert browser.client.get("/oauth/connections").status_code == 200
    assert "Sessions that end: 1" in text_of(ask(operator, "end_logins", row_of(alice)))
    assert browser.client.get("/oauth/connections").status_code == 200
    decide(operator, "end_logins", row_of(alice))
    assert browser.client.get("/oauth/connections").status_code == 302
    assert not LoginSession.objects.exists()
    assert Connection.objects.filter(revoked_at=None).exists()
    event = Event.objects.get(kind="logout")
    assert (event.reason, event.detail["operator"]) == ("ended_by_admin", operator.session["_auth_user_id"])


@pytest.mark.requirement("admin-users")
@pytest.mark.parametrize("row_of", LISTS.values(), ids=LISTS)
def test_tokens_of_the_provider_are_dropped_here_and_revoked_there(
    alice: Identity, idp: Idp, operator: Client, row_of: Rows
) -> None:
    assert "Token sets that are dropped: 1" in text_of(ask(operator, "forget_tokens", row_of(alice)))
    assert idp.refresh_tokens
    decide(operator, "forget_tokens", row_of(alice))
    assert wait_for_revocations(30)
    assert not idp.refresh_tokens
    assert not IdpTokenSet.objects.exists()
    event = Event.objects.get(kind="idp_tokens.forgotten")
    assert (event.user_id, event.detail["operator"]) == (alice.user_id, operator.session["_auth_user_id"])
    # Once: there is nothing left.
    decide(operator, "forget_tokens", row_of(alice))
    assert Event.objects.filter(kind="idp_tokens.forgotten").count() == 1


def test_tokens_are_dropped_while_the_provider_does_not_answer(alice: Identity, idp: Idp, operator: Client) -> None:
    idp.faults["revocation"] = 500
    decide(operator, "forget_tokens", alice)
    assert wait_for_revocations(30)
    assert not IdpTokenSet.objects.exists()


@pytest.mark.requirement("admin-users")
@pytest.mark.parametrize("row_of", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize(
    ("refuses", "told", "outcome"),
    [
        ("", "Still have access: 1", "allowed"),
        ("invalid_grant", "Have lost access, and their connections: 1", "refused"),
    ],
)
def test_provider_is_asked_at_once_and_its_answer_counts(
    alice: Identity, idp: Idp, operator: Client, row_of: Rows, refuses: str, told: str, outcome: str
) -> None:
    idp.refuses_refresh = refuses
    assert "Users who can be asked about: 1" in text_of(ask(operator, "ask_again", row_of(alice)))
    assert idp.requests["token"] == 0
    page = text_of(operator.get(decide(operator, "ask_again", row_of(alice))["Location"]))
    assert told in page
    assert idp.requests["token"] == 1
    assert Connection.objects.filter(revoked_at=None).exists() is (not refuses)
    event = Event.objects.get(kind="identity.asked")
    assert (event.outcome, event.detail["operator"]) == (outcome, operator.session["_auth_user_id"])


def test_outage_ends_nothing_and_is_told(alice: Identity, idp: Idp, operator: Client) -> None:
    idp.faults["token"] = 500
    assert "No answer: 1" in text_of(operator.get(decide(operator, "ask_again", alice)["Location"]))
    assert Connection.objects.filter(revoked_at=None).exists()


def test_who_has_no_refresh_token_cannot_be_asked_about(alice: Identity, idp: Idp) -> None:
    IdpTokenSet.objects.all().delete()
    assert ask_again([alice], caller=NOBODY) == {Answer.CANNOT_BE_ASKED: 1}
    assert idp.requests["token"] == 0


def test_answer_that_comes_too_late_counts_all_the_same(
    alice: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp.refuses_refresh = "invalid_grant"
    monkeypatch.setattr(revalidation, "wait", lambda futures, timeout: None)
    # Held at its beginning, so that it is late.
    settle = revalidation._orders._do
    late: list[int] = []
    monkeypatch.setattr(revalidation._orders, "_do", lambda key: bool(late.append(key)) or True)
    assert ask_again([alice], caller=NOBODY) == {Answer.NONE: 1}
    assert wait_for_answers(30)
    assert settle(late[0])
    assert not Connection.objects.filter(revoked_at=None).exists()


def test_page_of_a_user_leads_to_all_that_is_theirs(alice: Identity, operator: Client) -> None:
    page = text_of(operator.get(page_url(alice.user)))
    assert page_url(alice) in page
    for model in (Connection, LoginSession, Event):
        assert f"{list_url(model)}?of_user={alice.user_id}" in page
    assert "MCP access" not in text_of(operator.get(reverse("admin:auth_user_add")))


@pytest.mark.parametrize(
    ("permissions", "may_act"),
    [(("view_user",), False), (("view_user", "view_identity"), False), (("view_user", "revoke_identity"), True)],
)
def test_actions_are_for_who_may_revoke_identities(
    alice: Identity, permissions: tuple[str, ...], may_act: bool
) -> None:
    staff = _logged_in(*permissions)
    names = ("end_connections", "end_logins", "forget_tokens", "ask_again")
    page = text_of(staff.get(list_url(get_user_model())))
    assert [f'value="{name}"' in page for name in names] == [may_act] * 4
    decide(staff, "end_connections", alice.user)
    assert Connection.objects.filter(revoked_at=None).exists() is not may_act
    assert ("MCP access" in text_of(staff.get(page_url(alice.user)))) is (len(permissions) > 1)


def _logged_in(*codenames: str, is_superuser: bool = False) -> Client:
    user = get_user_model().objects.create_user("operator", is_staff=True, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client
