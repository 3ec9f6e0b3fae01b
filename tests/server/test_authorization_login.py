"""Who has to log in, and how often (OpenID Connect Core 3.1.2.1)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.asgi import get_asgi_application
from django.test import Client as Browser

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.models import AbstractClient, Connection
from tests.factories import ISSUER, make_metadata
from tests.server.authorizations import age_login, answer_of, approve, authorize_url, press, request_params

CALLBACK = "https://app.example/cb"


@pytest.fixture
def client(db: None) -> AbstractClient:
    """A client that is more than a program on the device, so that its consent is remembered."""
    return register(make_metadata(redirect_uris=[CALLBACK]), caller=Caller()).client


def next_params(response: Any) -> dict[str, str]:
    """The request that a login leads back to."""
    assert response.status_code == 302
    location = urlsplit(response["Location"])
    assert location.path == "/accounts/login/"
    next_url = urlsplit(parse_qs(location.query)["next"][0])
    assert next_url.path == "/authorize"
    params = {name: values[0] for name, values in parse_qs(next_url.query, strict_parsing=True).items()}
    # What the login must not be older than is a matter of `test_renewed_login`.
    params.pop("login_not_before", None)
    return params


def test_stranger_is_sent_to_log_in_and_back_to_the_same_request(
    stranger: Browser, public_client: AbstractClient
) -> None:
    state = " é🐎&=%41\r\n"
    response = stranger.get(authorize_url(public_client, state=state))
    assert next_params(response) == request_params(public_client, state=state)
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("prompt", ["login", "select_account", "login select_account"])
def test_prompt_asks_for_a_login_even_of_somebody_who_is_there(
    browser: Browser, public_client: AbstractClient, prompt: str
) -> None:
    assert next_params(browser.get(authorize_url(public_client, prompt=prompt))) == request_params(public_client)


def test_login_fulfils_its_prompt_and_leaves_the_others(browser: Browser, public_client: AbstractClient) -> None:
    params = next_params(browser.get(authorize_url(public_client, prompt="consent login", max_age="0")))
    assert params == request_params(public_client, prompt="consent")


@pytest.mark.requirement("authorization-max-age")
def test_login_that_is_older_than_max_age_is_asked_for_again(browser: Browser, public_client: AbstractClient) -> None:
    age_login(browser, seconds=100)
    assert browser.get(authorize_url(public_client, max_age="200")).status_code == 200
    for max_age in ("50", "0"):
        params = next_params(browser.get(authorize_url(public_client, max_age=max_age)))
        assert params == request_params(public_client)


@pytest.mark.requirement("authorization-max-age")
def test_login_that_grew_too_old_on_the_consent_page_is_asked_for_again(
    browser: Browser, public_client: AbstractClient
) -> None:
    page = browser.get(authorize_url(public_client, max_age="200"))
    age_login(browser, seconds=300)
    next_params(press(browser, page, "allow"))
    assert not Connection.objects.exists()


@pytest.mark.requirement("authorization-prompt-none")
def test_prompt_none_shows_no_page(stranger: Browser, browser: Browser, public_client: AbstractClient) -> None:
    url = authorize_url(public_client, prompt="none")
    answers = [answer_of(visitor.get(url)) for visitor in (stranger, browser)]
    assert [answer["error"] for answer in answers] == ["login_required", "consent_required"]
    assert {(answer["state"], answer["iss"]) for answer in answers} == {("af0ifjsldkj", ISSUER)}


@pytest.mark.requirement("authorization-prompt-none")
def test_prompt_none_with_max_age_asks_nobody_to_log_in(browser: Browser, public_client: AbstractClient) -> None:
    answer = answer_of(browser.get(authorize_url(public_client, prompt="none", max_age="0")))
    assert answer["error"] == "login_required"


@pytest.mark.requirement("authorization-prompt-none")
def test_prompt_none_is_answered_where_everything_was_approved(browser: Browser, client: AbstractClient) -> None:
    approve(browser, client, redirect_uri=CALLBACK)
    assert "code" in answer_of(browser.get(authorize_url(client, redirect_uri=CALLBACK, prompt="none")), CALLBACK)


@pytest.mark.parametrize("prompt", ["create", "login-not", "consent_ create"])
def test_prompts_that_nobody_knows_ask_for_nothing(browser: Browser, client: AbstractClient, prompt: str) -> None:
    approve(browser, client, redirect_uri=CALLBACK)
    assert "code" in answer_of(browser.get(authorize_url(client, redirect_uri=CALLBACK, prompt=prompt)), CALLBACK)


def test_deactivated_user_has_to_log_in_as_somebody_else(
    browser: Browser, public_client: AbstractClient, user: AbstractBaseUser
) -> None:
    page = browser.get(authorize_url(public_client))
    user.is_active = False
    user.save(update_fields=["is_active"])
    next_params(press(browser, page, "allow"))
    next_params(browser.get(authorize_url(public_client)))


@pytest.mark.requirement("nonsense")
@pytest.mark.parametrize("query", ["x=€".encode(), "x=é".encode(), b"x=\xff", b"\xc3"])
def test_raw_bytes_in_the_query_are_a_bad_request_under_asgi(public_client: AbstractClient, query: bytes) -> None:
    path = f"client_id={public_client.client_id}&".encode()
    assert async_to_sync(_status_under_asgi)("/authorize", path + query) == 400


async def _status_under_asgi(path: str, query: bytes) -> int:
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": path,
        "query_string": query,
        "headers": [(b"host", b"testserver")],
        "server": ("testserver", 80),
    }
    application = ApplicationCommunicator(get_asgi_application(), scope)
    await application.send_input({"type": "http.request", "body": b""})
    started = await application.receive_output()
    await application.wait()
    return int(started["status"])


def test_login_does_not_take_the_next_url_from_the_client(stranger: Browser, public_client: AbstractClient) -> None:
    evil = urlencode({"next": "https://evil.example", "path": "//evil.example"})
    response = stranger.get(f"{authorize_url(public_client)}&{evil}")
    assert response["Location"].startswith("/accounts/login/?next=/authorize%3F")
