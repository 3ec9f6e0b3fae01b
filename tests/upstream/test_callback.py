"""A login that goes wrong: it belongs to the browser that began it, and its error goes to whoever can act on it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.db.models.functions import Now
from django.http import HttpResponse

from mcp_oidc.adapter import Adapter
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import AbstractClient, Event, Identity, IdpTokenSet, LoginAttempt
from tests.idp import Idp
from tests.upstream.browser import Browser, authorize_url, configure_upstream


class Bouncer(Adapter):
    """Lets only Bob in."""

    def authorize_login(self, claims: Any) -> None:
        if claims["sub"] != "bob":
            raise AccessDenied("Only Bob may log in.")


@pytest.mark.requirement("upstream-browser")
def test_callback_in_another_browser_logs_nobody_in(browser: Browser, idp: Idp) -> None:
    callback_url = idp.log_in(browser.begin())
    victim = Browser(idp)
    _assert_offers_to_start_again(victim.come_back(callback_url))
    assert victim.who()["user"] is None
    # Nor does it spoil the login of the browser that began it.
    assert browser.come_back(callback_url).status_code == 302


@pytest.mark.requirement("upstream-state-once")
def test_callback_works_once(browser: Browser, idp: Idp) -> None:
    callback_url = idp.log_in(browser.begin())
    cookies = {name: morsel.value for name, morsel in browser.client.cookies.items()}
    browser.come_back(callback_url)
    browser.client.cookies.load(cookies)
    _assert_offers_to_start_again(browser.come_back(callback_url))
    assert idp.requests["token"] == 1


def test_callback_after_ten_minutes_is_too_late(browser: Browser, idp: Idp) -> None:
    callback_url = idp.log_in(browser.begin())
    LoginAttempt.objects.update(expires_at=Now())
    _assert_offers_to_start_again(browser.come_back(callback_url))


@pytest.mark.parametrize(
    "query",
    ["", "state=forged&code=x", "code=x", "error=access_denied", "state=%00&code=x", "state=%ff&code=%ff", "state="],
)
def test_forged_callback_logs_nobody_in_and_nobody_out(browser: Browser, query: str) -> None:
    browser.log_in()
    _assert_offers_to_start_again(browser.client.get(f"/oauth/callback?{query}"))
    assert browser.who()["sub"] == "alice"


def test_state_that_is_sent_twice_means_nothing(browser: Browser, idp: Idp) -> None:
    callback_url = idp.log_in(browser.begin())
    state = parse_qs(urlsplit(callback_url).query)["state"][0]
    _assert_offers_to_start_again(browser.come_back(f"{callback_url}&state={state}"))


def test_login_that_began_at_another_provider_does_not_end_at_this_one(
    browser: Browser, idp: Idp, settings: LazySettings
) -> None:
    callback_url = idp.log_in(browser.begin())
    configure_upstream(settings, {**idp.upstream, "NAME": "another"})
    _assert_offers_to_start_again(browser.come_back(callback_url))


@pytest.mark.parametrize("issuer", ["https://evil.example", None])
@pytest.mark.requirement("upstream-iss-parameter")
def test_answer_of_another_issuer_is_refused_before_its_code_is_used(
    browser: Browser, idp: Idp, issuer: str | None
) -> None:
    idp.answer = {"iss": issuer}
    assert browser.log_in().status_code == 502
    assert idp.requests["token"] == 0


def test_answer_without_iss_is_taken_from_a_provider_that_does_not_promise_it(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"authorization_response_iss_parameter_supported": None}
    idp.answer = {"iss": None}
    assert browser.log_in().status_code == 302


def test_wrong_iss_is_refused_even_where_the_provider_does_not_promise_it(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"authorization_response_iss_parameter_supported": None}
    idp.answer = {"iss": "https://evil.example"}
    assert browser.log_in().status_code == 502


@pytest.mark.parametrize("doubled", ["iss=https%3A%2F%2Fevil.example", "code=x", "error=access_denied&error=x"])
@pytest.mark.parametrize("promised", [True, None])
def test_parameter_that_is_sent_twice_is_refused_before_the_code_is_used(
    browser: Browser, idp: Idp, doubled: str, promised: bool | None
) -> None:
    idp.metadata = {"authorization_response_iss_parameter_supported": promised}
    callback_url = idp.log_in(browser.begin())
    assert browser.come_back(f"{callback_url}&{doubled}").status_code == 502
    assert idp.requests["token"] == 0
    assert "sent twice" in Event.objects.get(kind="login").reason


def test_answer_without_code_and_error_is_refused(browser: Browser, idp: Idp) -> None:
    idp.answer = {"code": None}
    assert browser.log_in().status_code == 502


def test_user_who_says_no_gets_a_page_and_stays_logged_in(browser: Browser) -> None:
    browser.log_in()
    response = browser.deny("/after?page=3")
    assert response.status_code == 403
    assert 'href="/oauth/login?next=%2Fafter%3Fpage%3D3"' in response.content.decode()
    assert browser.who()["sub"] == "alice"


@pytest.mark.requirement("upstream-error-to-client")
@pytest.mark.parametrize(
    ("provider_error", "client_error"),
    [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("server_error", "server_error"),
        ("invalid_scope", "server_error"),
        ("login_required", "login_required"),
        ("made\nup<script>", "server_error"),
    ],
)
def test_error_of_the_provider_reaches_the_mcp_client(
    browser: Browser, idp: Idp, public_client: AbstractClient, provider_error: str, client_error: str
) -> None:
    idp.answer = {"code": None, "error": provider_error}
    answer = _answer_to_client(browser, idp, public_client)
    assert answer["error"] == client_error
    assert answer["state"] == "client-state"
    assert answer["iss"] == "http://testserver"


def test_error_that_is_not_a_code_is_not_repeated_in_the_log(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    idp.answer = {"code": None, "error": "made\nup<script>"}
    assert browser.log_in().status_code == 502
    assert "an unreadable error" in caplog.text
    assert "<script>" not in caplog.text


def test_failure_is_told_once(browser: Browser, idp: Idp, public_client: AbstractClient) -> None:
    _answer_to_client(browser, idp, public_client, deny=True)
    again = browser.client.get(authorize_url(public_client.client_id))
    assert again["Location"].startswith(idp.issuer)


def test_failure_is_not_told_to_another_request(browser: Browser, idp: Idp, public_client: AbstractClient) -> None:
    location = browser.client.get(authorize_url(public_client.client_id, state="first"))["Location"]
    browser.come_back(idp.log_in(location, deny=True))
    other = browser.client.get(authorize_url(public_client.client_id, state="second"))
    assert other["Location"].startswith(idp.issuer)


def test_failures_of_two_tabs_are_told_to_each(browser: Browser, idp: Idp, public_client: AbstractClient) -> None:
    urls = [authorize_url(public_client.client_id, state=state) for state in ("first", "second")]
    locations = [browser.client.get(url)["Location"] for url in urls]
    backs = [browser.come_back(idp.log_in(location, deny=True))["Location"] for location in locations]
    for back in backs:
        assert parse_qs(urlsplit(browser.client.get(back)["Location"]).query)["error"] == ["access_denied"]


def test_session_does_not_grow_with_failures_that_nobody_comes_back_for(
    browser: Browser, idp: Idp, public_client: AbstractClient
) -> None:
    for number in range(8):
        location = browser.client.get(authorize_url(public_client.client_id, state=f"tab {number}"))["Location"]
        browser.come_back(idp.log_in(location, deny=True))
    assert len(browser.client.session["mcp_oidc_login_failures"]) == 5


def test_user_whom_the_adapter_refuses_is_told_why(browser: Browser, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": "tests.upstream.test_callback.Bouncer"}
    response = browser.log_in("alice")
    assert response.status_code == 403
    assert "Only Bob may log in." in response.content.decode()
    assert not Identity.objects.exists()
    assert Event.objects.get(kind="login").outcome == "refused"
    assert browser.log_in("bob").status_code == 302


def test_client_is_told_that_the_adapter_refused_its_user(
    browser: Browser, idp: Idp, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": "tests.upstream.test_callback.Bouncer"}
    answer = _answer_to_client(browser, idp, public_client)
    assert (answer["error"], answer["error_description"]) == ("access_denied", "Only Bob may log in.")


def test_inactive_user_is_refused(browser: Browser, idp: Idp) -> None:
    browser.log_in()
    get_user_model().objects.update(is_active=False)
    again = Browser(idp)
    assert again.log_in().status_code == 403
    assert again.who()["user"] is None


def test_refused_code_makes_no_session_and_keeps_nothing(browser: Browser, idp: Idp) -> None:
    idp.codes = _SpentCodes()
    assert browser.log_in().status_code == 502
    assert not Identity.objects.exists()
    assert not IdpTokenSet.objects.exists()
    assert "sessionid" not in browser.client.cookies


@pytest.mark.parametrize("code", ["access_denied", "invalid_client"])
def test_login_with_a_wrong_secret_is_our_fault_and_not_the_users(
    browser: Browser, idp: Idp, public_client: AbstractClient, code: str
) -> None:
    idp.client_secret, idp.refuses_clients = "another", code
    assert _answer_to_client(browser, idp, public_client)["error"] == "server_error"


def test_refused_login_is_audited_with_the_check_that_failed(browser: Browser, idp: Idp) -> None:
    idp.claims = {"aud": "somebody else"}
    browser.log_in()
    event = Event.objects.get(kind="login")
    assert event.outcome == "refused"
    assert "aud" in event.reason


def test_login_without_the_backend_in_the_settings_is_an_error_page(browser: Browser, settings: LazySettings) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    assert browser.log_in().status_code == 502


def test_database_that_is_away_is_a_page_and_not_a_stack_trace(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr("mcp_oidc.upstream.callback.take_login", fail)
    response = browser.client.get("/oauth/callback?state=x&code=y")
    assert response.status_code == 503
    assert "server closed" not in response.content.decode()


def test_pages_and_redirects_of_a_login_are_not_cached(browser: Browser) -> None:
    for response in (browser.client.get("/oauth/login"), browser.client.get("/oauth/callback"), browser.log_in()):
        assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_callback_takes_get_only(browser: Browser, method: str) -> None:
    assert getattr(browser.client, method)("/oauth/callback").status_code == 405


class _SpentCodes(dict[str, Any]):
    """Remembers no code, so that each is refused."""

    def __setitem__(self, code: str, grant: Any) -> None:
        """Forget it."""


def _assert_offers_to_start_again(response: HttpResponse) -> None:
    assert response.status_code == 400
    assert 'href="/oauth/login"' in response.content.decode()


def _answer_to_client(browser: Browser, idp: Idp, client: AbstractClient, *, deny: bool = False) -> dict[str, str]:
    location = browser.client.get(authorize_url(client.client_id))["Location"]
    back = browser.come_back(idp.log_in(location, deny=deny))
    assert back["Location"].startswith("/authorize?")
    answer = urlsplit(browser.client.get(back["Location"])["Location"])
    assert answer.netloc == "127.0.0.1:33418"
    return {name: values[0] for name, values in parse_qs(answer.query).items()}
