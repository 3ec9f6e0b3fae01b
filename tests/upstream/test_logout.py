"""Logout: here, and at the provider."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client

from mcp_oidc.core.upstream_tokens import keep_tokens, read_tokens
from mcp_oidc.models import AbstractClient, Event, Identity, IdpTokenSet, LoginSession
from mcp_oidc.protocol.jwks import SigningJwk
from tests.idp import Idp
from tests.server.grants import grant
from tests.upstream.browser import Browser, configure_upstream


@pytest.mark.requirement("upstream-logout")
def test_logout_ends_the_session_here_and_leads_to_the_providers_logout(browser: Browser, idp: Idp) -> None:
    browser.log_in()
    tokens = read_tokens(Identity.objects.get().pk).tokens
    response = browser.client.post("/oauth/logout")
    target = urlsplit(response["Location"])
    assert f"{target.scheme}://{target.netloc}{target.path}" == f"{idp.issuer}/logout"
    assert parse_qs(target.query) == {
        "id_token_hint": [tokens.id_token],
        "client_id": [idp.client_id],
        "post_logout_redirect_uri": ["http://testserver/oauth/logout"],
    }
    assert browser.who() == {"user": None, "django_user": ""}


@pytest.mark.parametrize(
    ("setting", "landing"),
    [
        ("/after", "http://testserver/after"),
        ("mcp_oidc:connections", "http://testserver/oauth/connections"),
        ("https://www.example.com/bye", "https://www.example.com/bye"),
    ],
)
def test_provider_sends_the_browser_to_where_the_project_says(
    browser: Browser, settings: LazySettings, setting: str, landing: str
) -> None:
    settings.LOGOUT_REDIRECT_URL = setting
    browser.log_in()
    target = urlsplit(browser.client.post("/oauth/logout", headers={"Host": "localhost"})["Location"])
    assert parse_qs(target.query)["post_logout_redirect_uri"] == [landing]


@pytest.mark.requirement("upstream-logout")
@pytest.mark.django_db(transaction=True)
def test_logout_leaves_other_browsers_and_what_clients_were_allowed(
    browser: Browser, idp: Idp, public_client: AbstractClient, signing_key: SigningJwk
) -> None:
    browser.log_in()
    granted = grant(browser.client, public_client)
    other = Browser(idp)
    other.log_in()
    browser.client.post("/oauth/logout")
    assert (browser.who()["user"], other.who()["sub"]) == (None, "alice")
    assert LoginSession.objects.count() == 1
    assert [event.reason for event in Event.objects.filter(kind="logout")] == ["user_logout"]
    granted.require_alive()


def test_page_says_that_the_provider_is_concerned(browser: Browser, settings: LazySettings) -> None:
    browser.log_in()
    assert "at your identity provider" in browser.client.get("/oauth/logout").content.decode()
    configure_upstream(settings, {})
    page = browser.client.get("/oauth/logout").content.decode()
    assert "Apps that you connected stay connected." in page
    assert "identity provider" not in page


def test_provider_without_logout_is_left_alone(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"end_session_endpoint": None}
    browser.log_in()
    assert browser.client.post("/oauth/logout")["Location"] == "/oauth/logout"
    assert browser.who()["user"] is None


def test_logout_works_while_the_provider_is_away(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    browser.log_in()
    # As after a restart, with nothing of the provider at hand.
    idp.faults = {"discovery": 500}
    configure_upstream(settings, {**idp.upstream, "AUTH_PARAMS": {"new": "settings"}})
    assert browser.client.post("/oauth/logout")["Location"] == "/oauth/logout"
    assert browser.who()["user"] is None


def test_hint_is_left_out_where_there_is_no_token_or_it_is_too_long_for_an_address(browser: Browser) -> None:
    browser.log_in()
    identity = Identity.objects.get()
    tokens = read_tokens(identity.pk).tokens
    IdpTokenSet.objects.all().delete()
    assert "id_token_hint" not in browser.client.post("/oauth/logout")["Location"]
    browser.log_in()
    keep_tokens(identity, replace(tokens, id_token="x" * 7000))
    assert "id_token_hint" not in browser.client.post("/oauth/logout")["Location"]


def test_link_logs_nobody_out(browser: Browser) -> None:
    browser.log_in()
    page = browser.client.get("/oauth/logout")
    assert page.status_code == 200
    assert '<form method="post">' in page.content.decode()
    assert browser.who()["sub"] == "alice"


def test_other_site_logs_nobody_out(browser: Browser) -> None:
    browser.client = Client(enforce_csrf_checks=True)
    browser.log_in()
    assert browser.client.post("/oauth/logout").status_code == 403
    assert browser.who()["sub"] == "alice"


def test_page_after_the_logout_has_no_form(client: Client, db: None, settings: LazySettings) -> None:
    settings.ROOT_URLCONF = "tests.upstream.urls"
    page = client.get("/oauth/logout").content.decode()
    assert "You are logged out" in page
    assert "<form" not in page


def test_logout_without_an_upstream_follows_the_projects_setting(
    client: Client, user: AbstractBaseUser, settings: LazySettings
) -> None:
    settings.ROOT_URLCONF, settings.LOGOUT_REDIRECT_URL = "tests.upstream.urls", "/after"
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post("/oauth/logout")["Location"] == "/after"
    assert client.get("/after").json() == {"user": None, "django_user": ""}


def test_password_session_is_not_sent_to_the_provider(browser: Browser, user: AbstractBaseUser) -> None:
    browser.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.client.post("/oauth/logout")["Location"] == "/oauth/logout"
