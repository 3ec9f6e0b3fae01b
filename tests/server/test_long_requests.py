"""An authorization request that is too long for Django's login view survives the project's own login all the same."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models.functions import Now
from django.http import HttpResponse
from django.test import Client as Browser

from mcp_oidc.core.logins import LOGIN_LIFETIME, PendingLogin, begin_login
from mcp_oidc.models import AbstractClient, LoginAttempt
from mcp_oidc.upstream.browser_binding import bind_to_browser
from tests.server.authorizations import answer_of, authorize_url, form_of, press, request_params

STATE = " \u00e9&=%41\r\n" + "s" * 2000


@pytest.fixture
def person(user: AbstractBaseUser, settings: LazySettings) -> AbstractBaseUser:
    """Somebody who logs in with a password, at Django's own login view: the admin's."""
    settings.LOGIN_URL = "admin:login"
    get_user_model().objects.update(is_staff=True)
    return user


def ask(browser: Browser, client: AbstractClient, state: str = STATE) -> str:
    """The login page that an authorization request leads to."""
    response = browser.get(authorize_url(client, state=state))
    assert response.status_code == 302
    return response.headers["Location"]


def log_in(browser: Browser, location: str) -> str:
    """Fill the form of the login page in; where it leads, one way or another."""
    form = {**form_of(browser.get(location)), "username": "alice", "password": "a long password"}
    return browser.post(location, form).headers["Location"]


@pytest.mark.requirement("authorization-request-survives")
def test_request_with_a_long_state_survives_the_login(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser
) -> None:
    location = ask(stranger, public_client)
    assert len(location) < 200
    resumed = stranger.get(log_in(stranger, location))
    params = parse_qs(urlsplit(resumed.headers["Location"]).query, strict_parsing=True)
    assert {name: values[0] for name, values in params.items()} == request_params(public_client, state=STATE)
    page = stranger.get(resumed.headers["Location"])
    assert answer_of(press(stranger, page, "allow"))["state"] == STATE


def test_what_is_remembered_is_neither_in_the_session_nor_in_a_cookie(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser
) -> None:
    ask(stranger, public_client)
    (cookie,) = stranger.cookies.values()
    assert len(cookie.value) < 100
    assert cookie["path"] == "/oauth/login"
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == LOGIN_LIFETIME


@pytest.mark.parametrize(("length", "is_remembered"), [(2048, False), (2049, True)])
def test_only_what_the_login_view_would_drop_is_remembered(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser, length: int, is_remembered: bool
) -> None:
    state = "s" * (length - len(authorize_url(public_client, state="")))
    location = ask(stranger, public_client, state)
    assert ("resume" in location) == LoginAttempt.objects.exists() == is_remembered
    assert stranger.get(log_in(stranger, location)).status_code == (302 if is_remembered else 200)


def test_two_tabs_both_end_well(stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser) -> None:
    tabs = {state: ask(stranger, public_client, state) for state in ("a" * 2000, "b" * 2000)}
    for state, location in reversed(tabs.items()):
        back = parse_qs(urlsplit(location).query)["next"][0]
        assert parse_qs(urlsplit(stranger.get(back).headers["Location"]).query)["state"] == [state]


@pytest.mark.requirement("login-browser")
def test_request_is_resumed_by_the_browser_that_began_it_and_others_do_not_spoil_it(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser
) -> None:
    back = parse_qs(urlsplit(ask(stranger, public_client)).query)["next"][0]
    assert_offers_to_start_again(Browser().get(back))
    assert stranger.get(back).status_code == 302


@pytest.mark.requirement("login-once")
def test_request_is_resumed_once(stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser) -> None:
    back = parse_qs(urlsplit(ask(stranger, public_client)).query)["next"][0]
    cookies = {name: morsel.value for name, morsel in stranger.cookies.items()}
    response = stranger.get(back)
    assert response.cookies[next(iter(cookies))]["max-age"] == 0
    assert response.cookies[next(iter(cookies))]["path"] == "/oauth/login"
    stranger.cookies.load(cookies)
    assert_offers_to_start_again(stranger.get(back))
    assert not LoginAttempt.objects.exists()


def test_request_is_not_resumed_after_ten_minutes(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser
) -> None:
    back = parse_qs(urlsplit(ask(stranger, public_client)).query)["next"][0]
    LoginAttempt.objects.update(expires_at=Now())
    assert_offers_to_start_again(stranger.get(back))


@pytest.mark.parametrize("resume", ["", "forged", "\0", "x" * 5000])
def test_forged_id_resumes_nothing(stranger: Browser, db: None, resume: str) -> None:
    assert_offers_to_start_again(stranger.get("/oauth/login", {"resume": resume}))


def test_login_at_a_provider_is_not_resumed(stranger: Browser, db: None) -> None:
    ticket = begin_login(PendingLogin("upstream", "nonce", "verifier", "/after", None))
    response = HttpResponse()
    bind_to_browser(response, ticket, "http://testserver/oauth/login")
    stranger.cookies.update(response.cookies)
    assert_offers_to_start_again(stranger.get("/oauth/login", {"resume": ticket.state}))


def test_what_is_resumed_is_checked_again(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser
) -> None:
    back = parse_qs(urlsplit(ask(stranger, public_client)).query)["next"][0]
    public_client.delete()
    response = stranger.get(back)
    assert stranger.get(response.headers["Location"]).status_code == 400


def test_long_request_survives_where_the_issuer_has_a_path(
    stranger: Browser, public_client: AbstractClient, person: AbstractBaseUser, settings: LazySettings
) -> None:
    settings.ROOT_URLCONF = "tests.server.urls_below_a_path"
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ISSUER": "http://testserver/auth"}
    settings.LOGIN_URL = "/accounts/login/"
    response = stranger.get("/auth" + authorize_url(public_client, state=STATE))
    back = parse_qs(urlsplit(response.headers["Location"]).query)["next"][0]
    assert back.startswith("/auth/oauth/login?resume=")
    assert stranger.get(back).headers["Location"].startswith("/auth/authorize?")


def assert_offers_to_start_again(response: HttpResponse) -> None:
    assert response.status_code == 400
    assert 'href="/oauth/login"' in response.content.decode()
