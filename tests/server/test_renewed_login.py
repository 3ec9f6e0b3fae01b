"""A login that a client wants to be new: that it takes place, and what is told of it (OpenID Connect Core 3.1.2.1)."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from django.utils import timezone

from mcp_oidc.models import AbstractClient, Connection
from tests.factories import ISSUER
from tests.server.authorizations import age_login, answer_of, authorize_url, press

FORCING: list[dict[str, str | None]] = [
    {"prompt": "login"},
    {"prompt": "select_account"},
    {"prompt": "login consent"},
    {"max_age": "0"},
    {"max_age": "50"},
]


def next_of(response: Any) -> str:
    """The URL that a login leads back to."""
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")
    return parse_qs(urlsplit(response["Location"]).query)["next"][0]


def log_in(browser: Browser, user: AbstractBaseUser) -> None:
    """What the login page does."""
    browser.force_login(user)
    user.refresh_from_db()


@pytest.fixture
def _logged_in_long_ago(browser: Browser) -> None:
    age_login(browser, seconds=100)


@pytest.mark.requirement("login-renewed")
@pytest.mark.usefixtures("_logged_in_long_ago")
@pytest.mark.parametrize("wanted", FORCING)
def test_new_login_is_good_for_the_request_that_asked_for_it(
    browser: Browser, public_client: AbstractClient, user: AbstractBaseUser, wanted: dict[str, str | None]
) -> None:
    next_url = next_of(browser.get(authorize_url(public_client, **wanted)))
    log_in(browser, user)
    page = browser.get(next_url)
    assert "code" in answer_of(press(browser, page, "allow"))


@pytest.mark.requirement("login-renewed")
@pytest.mark.usefixtures("_logged_in_long_ago")
@pytest.mark.parametrize("wanted", FORCING)
def test_way_back_without_a_new_login_gets_no_code(
    browser: Browser, public_client: AbstractClient, wanted: dict[str, str | None]
) -> None:
    next_url = next_of(browser.get(authorize_url(public_client, **wanted)))
    answer = answer_of(browser.get(next_url))
    assert (answer["error"], answer["state"], answer["iss"]) == ("login_required", "af0ifjsldkj", ISSUER)
    assert not Connection.objects.exists()


def test_login_of_just_before_is_not_new(browser: Browser, public_client: AbstractClient) -> None:
    later = str(int(time.time()) + 2)
    answer = answer_of(browser.get(authorize_url(public_client, login_not_before=later)))
    assert answer["error"] == "login_required"


@pytest.mark.requirement("auth-time")
@pytest.mark.usefixtures("_logged_in_long_ago")
def test_request_that_was_stripped_of_its_prompt_tells_of_the_old_login(
    browser: Browser, public_client: AbstractClient
) -> None:
    next_of(browser.get(authorize_url(public_client, prompt="login")))
    press(browser, browser.get(authorize_url(public_client)), "allow")
    authenticated_at = Connection.objects.get().authenticated_at
    assert authenticated_at is not None
    assert 100 <= (timezone.now() - authenticated_at).total_seconds() < 200


@pytest.mark.requirement("login-renewed")
@pytest.mark.usefixtures("_logged_in_long_ago")
def test_login_on_another_device_is_not_one_in_this_browser(
    browser: Browser, public_client: AbstractClient, user: AbstractBaseUser
) -> None:
    next_url = next_of(browser.get(authorize_url(public_client, prompt="login")))
    Browser().force_login(user)
    assert answer_of(browser.get(next_url))["error"] == "login_required"


def test_stranger_has_to_log_in_once(stranger: Browser, public_client: AbstractClient, user: AbstractBaseUser) -> None:
    next_url = next_of(stranger.get(authorize_url(public_client, prompt="login")))
    # Nobody has logged in yet: the moment that was noted stays the same, however often the way is walked.
    assert next_of(stranger.get(next_url)) == next_url
    log_in(stranger, user)
    assert stranger.get(next_url).status_code == 200


@pytest.mark.parametrize("moment", ["x", "-5", "٣", "9" * 12, "1e5", "0"])
def test_moment_that_makes_no_sense_asks_for_nothing(
    browser: Browser, public_client: AbstractClient, moment: str
) -> None:
    assert browser.get(authorize_url(public_client, login_not_before=moment)).status_code == 200


def test_moment_that_a_client_sends_does_not_survive_a_prompt(browser: Browser, public_client: AbstractClient) -> None:
    next_url = next_of(browser.get(authorize_url(public_client, prompt="login", login_not_before="99999999999")))
    assert parse_qs(urlsplit(next_url).query)["login_not_before"] != ["99999999999"]
