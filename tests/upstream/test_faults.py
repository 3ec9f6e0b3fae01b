"""A provider that misbehaves: each endpoint, in each way, ends in the right error, in time, with nothing kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.db import connections
from django.utils import timezone

from mcp_oidc.core.upstream_tokens import keep_tokens, read_tokens
from mcp_oidc.models import AbstractClient, Connection, Identity, IdpTokenSet, LoginAttempt
from mcp_oidc.upstream.bulkhead import MAX_WAITING
from mcp_oidc.upstream.provider import Provider, forget_provider, get_provider
from mcp_oidc.upstream.refresh import fresh_tokens
from tests.idp import Idp
from tests.server.authorizations import post_form, redeem, refresh_params
from tests.upstream.browser import Browser, authorize_url, configure_upstream
from tests.upstream.failing import failing

# The page that a person gets, and the error that the MCP client gets: worth a retry, or not.
UNAVAILABLE, WRONG = (503, "temporarily_unavailable"), (502, "server_error")
FAULTS = {
    500: UNAVAILABLE,
    503: UNAVAILABLE,
    429: UNAVAILABLE,
    "garbage": UNAVAILABLE,
    "array": UNAVAILABLE,
    "close": UNAVAILABLE,
    "hang": UNAVAILABLE,
    "headers drop by drop": UNAVAILABLE,
    "body drop by drop": UNAVAILABLE,
    "closed port": UNAVAILABLE,
    "redirect": WRONG,
    "oversized": WRONG,
}
ENDPOINTS = {
    "discovery": "",
    "token": "token_endpoint",
    "jwks": "jwks_uri",
    "userinfo": "userinfo_endpoint",
}
MINUTE = 60
CLOSED = "http://127.0.0.1:9"
HANGS_FOR = 30


@contextmanager
def misbehaving(idp: Idp, settings: LazySettings, endpoint: str, fault: int | str) -> Iterator[None]:
    """An endpoint fails, for a process that has just started."""
    forget_provider()
    if fault != "closed port":
        with failing(idp, endpoint, fault):
            yield
        return
    if endpoint == "discovery":
        configure_upstream(settings, {**idp.upstream, "ISSUER": CLOSED})
    else:
        idp.metadata = {**idp.metadata, ENDPOINTS[endpoint]: f"{CLOSED}/{endpoint}"}
    yield


def clock_off(idp: Idp, minutes: int, *, lifetime: int) -> None:
    """ID tokens by a clock that is so many minutes ahead; `lifetime` is in minutes, too."""
    now = int(time.time()) + minutes * MINUTE
    idp.claims = {"iat": now, "auth_time": now, "exp": now + lifetime * MINUTE}


def foreign_key_at_the_token_endpoint(idp: Idp) -> None:
    idp.signing_key, idp.header = "foreign", {"kid": "first"}


def foreign_key_in_the_set(idp: Idp) -> None:
    idp.published_keys, idp.key_members = ["foreign"], {"kid": "first"}


# What is well-formed, and nevertheless cannot be believed.
LIES: dict[str, tuple[tuple[int, str], Callable[[Idp], Any]]] = {
    "another issuer's metadata": (WRONG, lambda idp: idp.metadata.update(issuer="https://evil.example")),
    "another issuer's ID token": (WRONG, lambda idp: idp.claims.update(iss="https://evil.example")),
    "a foreign key's ID token": (WRONG, foreign_key_at_the_token_endpoint),
    "a foreign key in the set": (WRONG, foreign_key_in_the_set),
    "another set of keys": (WRONG, lambda idp: idp.published_keys.__setitem__(0, "foreign")),
    "no key in the set": (WRONG, lambda idp: idp.published_keys.clear()),
    "another user's userinfo": (WRONG, lambda idp: idp.userinfo.update(sub="bob")),
    "a clock five minutes ahead": (WRONG, lambda idp: clock_off(idp, 5, lifetime=60)),
    "a clock five minutes behind": (WRONG, lambda idp: clock_off(idp, -5, lifetime=2)),
}


@pytest.mark.requirement("upstream-faults")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_fault_is_told_to_the_client_and_to_the_person_and_keeps_nothing(
    browser: Browser, idp: Idp, public_client: AbstractClient, settings: LazySettings, endpoint: str, fault: int | str
) -> None:
    of_the_client = idp.log_in(browser.client.get(authorize_url(public_client.client_id))["Location"])
    of_the_person = idp.log_in(browser.begin())
    if (endpoint, fault) == ("discovery", "closed port"):
        # RFC 9207: the answer is that provider's own.
        of_the_client, of_the_person = (_from_issuer(url, idp.issuer, CLOSED) for url in (of_the_client, of_the_person))
    with misbehaving(idp, settings, endpoint, fault):
        _assert_login_fails(browser, of_the_client, of_the_person, FAULTS[fault])


@pytest.mark.requirement("upstream-faults")
@pytest.mark.parametrize("lie", LIES)
def test_lie_is_told_to_the_client_and_to_the_person_and_keeps_nothing(
    browser: Browser, idp: Idp, public_client: AbstractClient, lie: str
) -> None:
    of_the_client = idp.log_in(browser.client.get(authorize_url(public_client.client_id))["Location"])
    of_the_person = idp.log_in(browser.begin())
    expected, tell = LIES[lie]
    tell(idp)
    forget_provider()
    _assert_login_fails(browser, of_the_client, of_the_person, expected)


@pytest.mark.parametrize("minutes", [-5, 0])
def test_clock_that_is_behind_does_no_harm_while_the_token_is_good(browser: Browser, idp: Idp, minutes: int) -> None:
    clock_off(idp, minutes, lifetime=60)
    assert browser.log_in().status_code == 302


@pytest.mark.requirement("upstream-faults")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_of_discovery_before_a_login_is_told_at_once_and_keeps_nothing(
    browser: Browser, idp: Idp, public_client: AbstractClient, settings: LazySettings, fault: int | str
) -> None:
    status, code = FAULTS[fault]
    with misbehaving(idp, settings, "discovery", fault):
        assert _error_for_client(browser, authorize_url(public_client.client_id)) == code
        response = browser.client.get("/oauth/login", {"next": "/after"})
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/html")
    # Nobody can come back from there.
    _assert_nothing_is_kept(browser)


@pytest.mark.parametrize("endpoint", ["jwks", "userinfo"])
def test_endpoint_that_is_not_there_is_wrong_and_no_outage(browser: Browser, idp: Idp, endpoint: str) -> None:
    idp.faults = {endpoint: 404}
    assert browser.log_in().status_code == 502


def test_page_of_an_outage_says_when_to_try_again(browser: Browser, idp: Idp) -> None:
    idp.faults = {"discovery": 500}
    assert int(browser.client.get("/oauth/login")["Retry-After"]) > 0


@pytest.mark.parametrize("endpoint", ["discovery", "jwks"])
@pytest.mark.parametrize("fault", [500, "garbage", "hang", "redirect", "oversized"])
def test_fault_of_what_is_kept_disturbs_nobody(
    browser: Browser, idp: Idp, monkeypatch: pytest.MonkeyPatch, endpoint: str, fault: int | str
) -> None:
    browser.log_in()
    # As if ten minutes had passed.
    monkeypatch.setattr("mcp_oidc.upstream.documents.MAX_AGE", 0)
    monkeypatch.setattr("mcp_oidc.upstream.documents.RENEW_AGE", 0)
    with failing(idp, endpoint, fault):
        assert browser.log_in().status_code == 302


def test_wrong_issuer_in_the_metadata_is_told_to_the_operator_by_both_names(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    idp.metadata = {"issuer": "https://other.example"}
    with caplog.at_level(logging.WARNING):
        assert browser.client.get("/oauth/login").status_code == 502
    assert "https://other.example" in caplog.text
    assert idp.issuer in caplog.text


def test_login_works_once_the_provider_is_back(browser: Browser, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    idp.faults = {"discovery": 500}
    assert browser.client.get("/oauth/login").status_code == 503
    idp.faults = {}
    monkeypatch.setattr("mcp_oidc.upstream.documents.FAILURE_PAUSE", 0)
    assert browser.log_in().status_code == 302


@pytest.mark.requirement("upstream-failed-state")
def test_failed_login_cannot_be_finished_later_with_the_same_state(browser: Browser, idp: Idp) -> None:
    callback_url = idp.log_in(browser.begin())
    idp.faults = {"token": 500}
    browser.come_back(callback_url)
    idp.faults = {}
    assert browser.come_back(callback_url).status_code == 400


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("upstream-key-rotation")
def test_key_that_is_rotated_between_login_and_refresh_costs_nobody_anything(browser: Browser, idp: Idp) -> None:
    browser.log_in()
    identity = Identity.objects.get()
    idp.rotate_key()
    _expire(identity)
    assert fresh_tokens(identity.pk).access_token in idp.access_tokens
    assert browser.log_in().status_code == 302


@pytest.mark.requirement("upstream-hanging")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_others_are_served_while_more_logins_hang_than_there_are_threads(
    idp: Idp, public_client: AbstractClient, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    Browser(idp).log_in()
    client = Browser(idp)
    client.log_in()
    tokens = redeem(client.client, public_client)
    waiting = [Browser(idp) for _ in range(2 * _WORKERS)]
    callbacks = [(browser, idp.log_in(browser.begin())) for browser in waiting]
    idp.faults = {endpoint: "hang"}
    forget_provider()
    _provider().http.timeout = 60
    # From the first moment on, and not after two seconds.
    monkeypatch.setattr("mcp_oidc.upstream.bulkhead.SLOW_SECONDS", 0)
    monkeypatch.setattr("mcp_oidc.upstream.documents.PATIENCE", 0)
    with ThreadPoolExecutor(_WORKERS) as workers:
        try:
            logins = [workers.submit(_served, browser.come_back, url) for browser, url in callbacks]
            others = [
                workers.submit(_served, request)
                for _ in range(10)
                for request in (
                    lambda: Browser(idp).client.get("/.well-known/oauth-authorization-server").status_code,
                    lambda: Browser(idp).client.get("/jwks").status_code,
                    lambda: post_form("/token", refresh_params(public_client, tokens)).status_code,
                )
            ]
            # They end before the logins do, which do not end before they are told to.
            assert [other.result(HANGS_FOR - 5) for other in others] == [200] * len(others)
            # Whoever else is still there is refused in a moment.
            deadline = time.monotonic() + HANGS_FOR - 5
            while sum(not login.done() for login in logins) > MAX_WAITING:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert not all(login.done() for login in logins)
        finally:
            idp.stopping.set()
        assert [login.result(30).status_code for login in logins] == [503] * len(logins)


@pytest.mark.parametrize(
    "answer",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": "two\r\nlines"},
        {"access_token": "é"},
        {"refresh_token": ["x"]},
        {"token_type": "DPoP"},
        {"error": "invalid_grant"},
        {"error": ["x"]},
    ],
)
def test_answer_that_is_no_token_set_is_refused(browser: Browser, idp: Idp, answer: dict[str, object]) -> None:
    idp.token_answer = answer
    assert browser.log_in().status_code == 502
    assert not Identity.objects.exists()


@pytest.mark.parametrize("expires_in", [None, "3600", 3600.5, -1, 0, "soon", True, [1], 1e400, 10**30])
def test_any_expiry_is_understood_or_left_out(browser: Browser, idp: Idp, expires_in: object) -> None:
    # JSON has no infinity: Python writes 1e400 so, and the answer is not JSON then.
    idp.token_answer = {"expires_in": expires_in}
    assert browser.log_in().status_code == (503 if expires_in == 1e400 else 302)


# As many as a server with a few threads has.
_WORKERS = 8


def _assert_login_fails(browser: Browser, of_the_client: str, of_the_person: str, expected: tuple[int, str]) -> None:
    status, code = expected
    started = time.monotonic()
    back = browser.come_back(of_the_client)
    response = browser.come_back(of_the_person)
    # It would hang for longer.
    assert time.monotonic() - started < HANGS_FOR
    assert _error_for_client(browser, back["Location"]) == code
    assert response.status_code == status
    assert response["Content-Type"].startswith("text/html")
    _assert_nothing_is_kept(browser)


def _assert_nothing_is_kept(browser: Browser) -> None:
    kept = (Identity, IdpTokenSet, LoginAttempt, Connection, get_user_model())
    assert [model.__name__ for model in kept if model._default_manager.exists()] == []
    assert browser.who() == {"user": None, "django_user": ""}


def _error_for_client(browser: Browser, url: str) -> str:
    answer = urlsplit(browser.client.get(url)["Location"])
    params = parse_qs(answer.query)
    assert answer.netloc == "127.0.0.1:33418"
    assert params["state"] == ["client-state"]
    assert params["iss"] == ["http://testserver"]
    return params["error"][0]


def _from_issuer(callback_url: str, old: str, new: str) -> str:
    parts = urlsplit(callback_url)
    query = {**{name: values[0] for name, values in parse_qs(parts.query).items()}, "iss": new}
    assert parse_qs(parts.query)["iss"] == [old]
    return parts._replace(query=urlencode(query)).geturl()


def _provider() -> Provider:
    provider = get_provider()
    assert provider is not None
    return provider


def _expire(identity: Identity) -> None:
    tokens = read_tokens(identity.pk).tokens
    keep_tokens(identity, replace(tokens, expires_at=timezone.now() - timedelta(seconds=1)))


def _served(call: Callable[..., Any], *args: Any) -> Any:
    try:
        return call(*args)
    finally:
        connections.close_all()
