"""Connected apps: what a user sees of them, and how each of them is disconnected."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from django.utils import timezone
from django.utils.formats import date_format

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import clients, register
from mcp_oidc.core.connected_apps import connected_apps
from mcp_oidc.core.revocation import block_client
from mcp_oidc.models import AbstractClient, Connection, Consent, Event
from tests.core.passing import let_pass
from tests.factories import ISSUER, REDIRECT_URI, make_metadata
from tests.server.authorizations import approve, authorize_url, form_of, redeem, text_of
from tests.server.grants import Grant, grant
from tests.server.hostile_names import HOSTILE_NAMES

pytestmark = pytest.mark.urls("tests.server.urls_with_endpoint")

PAGE = "/oauth/connections"


def new_client(**members: Any) -> AbstractClient:
    return register(make_metadata(**members), caller=Caller()).client


def press(browser: Browser, **fields: str) -> Any:
    """Load the page and press a button on it."""
    return browser.post(PAGE, {**form_of(browser.get(PAGE)), **fields})


def disconnect(browser: Browser, client: AbstractClient) -> Any:
    return press(browser, app=client.client_id)


@pytest.fixture
def other_browser(db: None, signing_key: object) -> Browser:
    """The browser of bob, who is logged in."""
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(get_user_model().objects.create_user("bob"))
    return browser


@pytest.fixture
def granted(browser: Browser, public_client: AbstractClient) -> Grant:
    return grant(browser, public_client)


@pytest.mark.requirement("connected-apps")
def test_page_says_of_each_app_what_it_is_what_it_may_and_since_when(
    browser: Browser, public_client: AbstractClient
) -> None:
    redeem(browser, public_client, scope="openid profile mcp notes:write")
    Connection.objects.update(last_used_at=timezone.now() + timedelta(days=40))
    connection = Connection.objects.get()
    page = text_of(browser.get(PAGE))
    for text in (
        "Your connected apps",
        "Logged in as alice",
        "Test client unverified The app chose this name itself; nobody has checked it.",
        "Access goes to a program on the device where you approved it",
        f"At Test tools, {ISSUER}/mcp",
        "See your name and profile Use this MCP server as you Write notes",
        f"Approved {date_format(timezone.localtime(connection.created_at))}",
        f"Last used {date_format(timezone.localtime(connection.last_used_at))}",
    ):
        assert text in page


def test_devices_of_one_client_are_one_app_with_all_that_was_approved(
    browser: Browser, public_client: AbstractClient
) -> None:
    approve(browser, public_client, redirect_uri="http://127.0.0.1:40001/callback", scope="mcp")
    approve(browser, public_client, redirect_uri="http://127.0.0.1:40002/callback", scope="mcp notes:write")
    approve(browser, public_client, resource=f"{ISSUER}/mcp/plain")
    page = text_of(browser.get(PAGE))
    assert page.count("Test client") == page.count("a program on the device") == 1
    assert f"At Test tools, {ISSUER}/mcp Use this MCP server as you Write notes At {ISSUER}/mcp/plain Use" in page


def test_app_that_was_used_last_comes_first(browser: Browser, public_client: AbstractClient) -> None:
    for client in (new_client(client_name="Second"), public_client, new_client(client_name="First")):
        redeem(browser, client)
    Connection.objects.filter(client=public_client).update(last_used_at=timezone.now() - timedelta(days=1))
    page = text_of(browser.get(PAGE))
    assert page.index("First") < page.index("Second") < page.index("Test client")


def test_host_is_shown_where_it_is_proven_and_trust_where_an_operator_said_so(
    browser: Browser, public_client: AbstractClient
) -> None:
    redeem(browser, public_client)
    clients().update(client_id="https://app.example/client.json", trust="trusted")
    page = text_of(browser.get(PAGE))
    assert "Its description comes from app.example" in page
    assert "The people who run this server trust this app." in page
    assert "unverified" not in page


@pytest.mark.requirement("connected-apps-inert")
@pytest.mark.parametrize(("name", "shown"), HOSTILE_NAMES)
def test_name_of_a_client_is_only_text(browser: Browser, name: str, shown: str) -> None:
    client = new_client(client_name=name)
    redeem(browser, client)
    page = browser.get(PAGE)
    assert f"{shown} unverified" in text_of(page)
    assert page.content.count(b"<script") == page.content.count(b"<img") == 0
    assert disconnect(browser, client).status_code == 302
    page = browser.get(PAGE)
    assert f"Disconnected: {shown} No app is connected." in text_of(page)
    assert page.content.count(b"<script") == page.content.count(b"<img") == 0


@pytest.mark.requirement("user-revokes")
def test_disconnected_app_is_refused_from_the_next_request_on_and_nobody_else_is(
    browser: Browser, other_browser: Browser, granted: Grant
) -> None:
    others = [grant(browser, new_client(client_name="Other app")), grant(other_browser, granted.client)]
    response = disconnect(browser, granted.client)
    assert (response.status_code, response["Location"]) == (302, PAGE)
    granted.require_dead()
    for other in others:
        other.require_alive()
    ended = Event.objects.filter(kind="connection.revoked", client=granted.client)
    assert {(event.reason, event.user.get_username(), event.address) for event in ended if event.user} == {
        ("user_request", "alice", "127.0.0.1")
    }
    assert ended.count() == 2


@pytest.mark.requirement("user-revokes")
def test_disconnected_app_has_to_be_approved_anew(
    browser: Browser, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "CONSENT_REMEMBER_LOCAL": True}
    redeem(browser, public_client)
    assert browser.get(authorize_url(public_client)).status_code == 302
    disconnect(browser, public_client)
    assert "Allow this app to act for you?" in text_of(browser.get(authorize_url(public_client)))
    assert Event.objects.filter(kind="consent.revoked", reason="user_request").count() == 1


@pytest.mark.requirement("user-revokes")
def test_all_apps_are_disconnected_at_once(browser: Browser, other_browser: Browser, granted: Grant) -> None:
    more, other = grant(browser, new_client(client_name="Second")), grant(other_browser, granted.client)
    press(browser, everything="yes")
    granted.require_dead()
    more.require_dead()
    other.require_alive()
    page = text_of(browser.get(PAGE))
    assert "All apps were disconnected. No app is connected." in page
    event = Event.objects.get(kind="user.revoked")
    assert (event.reason, event.detail, event.address) == ("user_request", {"connections": 4}, "127.0.0.1")
    assert [consent.user.get_username() for consent in Consent.objects.select_related("user")] == ["bob"]


def test_all_are_offered_where_there_are_several(browser: Browser, granted: Grant) -> None:
    assert "Disconnect all" not in text_of(browser.get(PAGE))
    redeem(browser, new_client(client_name="Second"))
    assert "Disconnect all" in text_of(browser.get(PAGE))


@pytest.mark.requirement("connected-apps-own")
def test_app_of_somebody_else_is_not_found(browser: Browser, other_browser: Browser, granted: Grant) -> None:
    assert "Test client" not in text_of(other_browser.get(PAGE))
    mine = new_client(client_name="Mine")
    redeem(other_browser, mine)
    for wanted in (granted.client.client_id, str(granted.client.pk), mine.client_id.swapcase(), "", "x\0", "é" * 5000):
        page = press(other_browser, app=wanted)
        assert page.status_code == 404
        assert "That app is not connected any more." in text_of(page)
    assert Connection.objects.filter(revoked_at=None).count() == 3
    granted.require_alive()


@pytest.mark.requirement("connected-apps-own")
def test_button_of_who_was_logged_in_before_does_nothing(
    browser: Browser, user: AbstractBaseUser, granted: Grant
) -> None:
    form = form_of(browser.get(PAGE))
    bob = get_user_model().objects.create_user("bob")
    browser.force_login(bob)
    redeem(browser, granted.client)
    form["csrfmiddlewaretoken"] = form_of(browser.get(PAGE))["csrfmiddlewaretoken"]
    for button in ({"app": granted.client.client_id}, {"everything": "yes"}):
        page = browser.post(PAGE, {**form, **button})
        assert "Logged in as bob Test client" in text_of(page)
    assert not Connection.objects.exclude(revoked_at=None).exists()


@pytest.mark.requirement("connected-apps-own")
def test_form_without_its_token_ends_nothing(browser: Browser, granted: Grant) -> None:
    form = form_of(browser.get(PAGE))
    del form["csrfmiddlewaretoken"]
    page = browser.post(PAGE, {**form, "everything": "yes"})
    assert page.status_code == 403
    assert "That did not work" in text_of(page)
    granted.require_alive()


def test_nothing_pressed_ends_nothing(browser: Browser, granted: Grant) -> None:
    assert press(browser).status_code == 404
    assert browser.get(PAGE, {"app": granted.client.client_id, "everything": "yes"}).status_code == 200
    granted.require_alive()


def test_notice_is_told_once(browser: Browser, granted: Grant) -> None:
    disconnect(browser, granted.client)
    assert "Disconnected: Test client" in text_of(browser.get(PAGE))
    assert "Disconnected" not in text_of(browser.get(PAGE))


@pytest.mark.requirement("page-headers")
def test_page_is_not_framed_cached_or_run_in(browser: Browser, granted: Grant) -> None:
    for page in (browser.get(PAGE), press(browser, app="unknown")):
        policy = page["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert page["X-Frame-Options"] == "DENY"
        assert "no-store" in page["Cache-Control"]
        assert page["Referrer-Policy"] == "same-origin"
        assert not re.findall(rb"\son\w+=|style=|javascript:", page.content)
    assert "no-store" in disconnect(browser, granted.client)["Cache-Control"]


@pytest.mark.requirement("connected-apps-login")
def test_stranger_is_sent_to_the_login_and_back(stranger: Browser, public_client: AbstractClient) -> None:
    response = stranger.get(PAGE)
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/oauth/connections"
    # From a form that was open when the session ended, too.
    token = "x" * 32
    stranger.cookies["csrftoken"] = token
    response = stranger.post(PAGE, {"everything": "yes", "csrfmiddlewaretoken": token})
    assert (response.status_code, response["Location"]) == (302, "/accounts/login/?next=/oauth/connections")


@pytest.mark.requirement("connected-apps-login")
def test_user_who_was_deactivated_is_nobody(browser: Browser, user: AbstractBaseUser, granted: Grant) -> None:
    get_user_model().objects.update(is_active=False)
    assert browser.get(PAGE).status_code == 302


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_refused(user: AbstractBaseUser, method: str) -> None:
    browser = Browser()
    browser.force_login(user)
    assert getattr(browser, method)(PAGE).status_code == 405


def test_app_that_is_only_remembered_is_shown_and_can_be_forgotten(browser: Browser, granted: Grant) -> None:
    let_pass(400 * 24 * 3600, *Connection.objects.all())
    assert "Not connected now; what you approved is remembered." in text_of(browser.get(PAGE))
    disconnect(browser, granted.client)
    assert not Consent.objects.exists()
    assert "No app is connected." in text_of(browser.get(PAGE))


def test_app_that_was_approved_a_moment_ago_is_shown(browser: Browser, public_client: AbstractClient) -> None:
    approve(browser, public_client)
    assert "Test client" in text_of(browser.get(PAGE))


def test_blocked_app_is_not_shown(browser: Browser, user: AbstractBaseUser, granted: Grant) -> None:
    # As if the batches that end its connections were still on their way.
    clients().update(trust="blocked")
    assert connected_apps(user) == []
    block_client(granted.client)
    assert "No app is connected." in text_of(browser.get(PAGE))


@pytest.mark.parametrize("page", ["/oauth/logout", None])
def test_other_pages_lead_there(browser: Browser, public_client: AbstractClient, page: str | None) -> None:
    shown = browser.get(page or authorize_url(public_client, redirect_uri=REDIRECT_URI))
    assert f'<a href="{PAGE}">' in shown.content.decode()
