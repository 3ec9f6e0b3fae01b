"""A login that goes well: what is sent, what is kept, and where it leads."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client

from mcp_oidc.core.sessions import hash_idp_session
from mcp_oidc.core.upstream_tokens import IdpTokens, read_tokens
from mcp_oidc.models import AbstractClient, Event, Identity, IdpTokenSet, LoginAttempt
from mcp_oidc.upstream.provider import Provider
from tests.idp import Idp
from tests.upstream.browser import Browser, authorize_url, configure_upstream


def test_login_leads_to_the_page_that_was_asked_for_and_the_user_is_there(browser: Browser) -> None:
    response = browser.log_in("alice")
    assert (response.status_code, response["Location"]) == (302, "/after")
    who = browser.who()
    assert who["sub"] == "alice"
    assert who["idp_session"] == hash_idp_session("upstream", browser.idp.issuer, "session-at-the-idp")
    assert who["claims"]["email"] == "alice@example.com"


def test_same_sub_is_the_same_user_and_another_sub_is_another(browser: Browser, idp: Idp) -> None:
    browser.log_in("alice")
    Browser(idp).log_in("alice")
    Browser(idp).log_in("bob")
    assert get_user_model().objects.count() == 2
    assert Identity.objects.count() == 2


def test_same_email_address_does_not_make_two_people_one(browser: Browser, idp: Idp) -> None:
    admin = get_user_model().objects.create_superuser("root", "alice@example.com", "a long password")
    browser.log_in("alice")
    assert Identity.objects.get().user_id != admin.pk


def test_token_set_is_kept_encrypted(browser: Browser) -> None:
    browser.log_in("alice")
    row = IdpTokenSet.objects.get()
    tokens = read_tokens(row.identity_id).tokens
    assert tokens.access_token in browser.idp.access_tokens
    assert tokens.refresh_token in browser.idp.refresh_tokens
    assert tokens.access_token not in row.payload
    assert tokens.id_token is not None


@pytest.mark.requirement("upstream-code-flow")
def test_authorization_request_is_a_code_flow_with_pkce_state_and_nonce(browser: Browser, idp: Idp) -> None:
    params = _params(browser.begin())
    assert params["response_type"] == "code"
    assert params["code_challenge_method"] == "S256"
    assert params["redirect_uri"] == "http://testserver/oauth/callback"
    assert params["scope"] == "openid email profile"
    assert {"state", "nonce", "code_challenge"} <= params.keys()
    assert "resource" not in params


def test_each_login_has_its_own_state_nonce_and_challenge(browser: Browser) -> None:
    first, second = _params(browser.begin()), _params(browser.begin())
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]


def test_auth_params_are_added_but_replace_nothing(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    extra = {"audience": "https://api.example.com", "state": "mine", "response_type": "token"}
    configure_upstream(settings, {**idp.upstream, "AUTH_PARAMS": extra})
    params = _params(browser.begin())
    assert params["audience"] == "https://api.example.com"
    assert params["response_type"] == "code"
    assert params["state"] != "mine"


def test_prompt_and_max_age_are_passed_on(browser: Browser, public_client: AbstractClient) -> None:
    response = browser.client.get(authorize_url(public_client.client_id, prompt="login", max_age="30"))
    params = _params(response["Location"])
    assert (params["prompt"], params["max_age"]) == ("login", "30")


def test_scopes_of_the_settings_are_asked_for(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {**idp.upstream, "SCOPES": "openid offline_access"})
    assert _params(browser.begin())["scope"] == "openid offline_access"


def test_cookie_of_a_login_is_bound_to_the_callback_and_out_of_reach_for_scripts(browser: Browser) -> None:
    browser.begin()
    (cookie,) = browser.client.cookies.values()
    assert cookie["path"] == "/oauth/callback"
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == 600
    assert not cookie["secure"]


def test_cookie_of_a_login_is_secure_where_the_issuer_is_https(browser: Browser, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ISSUER": "https://mcp.example.com/auth"}
    browser.begin()
    (cookie,) = browser.client.cookies.values()
    assert cookie["secure"]
    assert cookie["path"] == "/auth/oauth/callback"


def test_cookie_and_attempt_are_gone_after_the_login(browser: Browser) -> None:
    response = browser.log_in()
    (name,) = [name for name in response.cookies if name.startswith("mcp_oidc_login_")]
    assert response.cookies[name]["max-age"] == 0
    assert response.cookies[name]["path"] == "/oauth/callback"
    assert not LoginAttempt.objects.exists()


@pytest.mark.requirement("upstream-session-key")
def test_session_key_changes_at_login(browser: Browser) -> None:
    session = browser.client.session
    session["seen"] = "before"
    session.save()
    planted = browser.client.cookies["sessionid"].value
    browser.log_in()
    assert browser.client.cookies["sessionid"].value != planted


def test_session_key_changes_when_the_same_user_logs_in_again(browser: Browser) -> None:
    browser.log_in()
    first = browser.client.cookies["sessionid"].value
    browser.log_in()
    assert browser.client.cookies["sessionid"].value != first
    assert browser.who()["sub"] == "alice"


def test_login_of_somebody_else_takes_nothing_over_from_the_session_before(browser: Browser) -> None:
    browser.log_in("alice")
    session = browser.client.session
    session["of alice"] = "private"
    session.save()
    browser.log_in("bob")
    assert "of alice" not in browser.client.session
    assert browser.who()["sub"] == "bob"


def test_two_tabs_both_end_well(browser: Browser) -> None:
    first = browser.idp.log_in(browser.begin("/after?tab=1"))
    second = browser.idp.log_in(browser.begin("/after?tab=2"))
    assert browser.come_back(second)["Location"] == "/after?tab=2"
    assert browser.come_back(first)["Location"] == "/after?tab=1"
    assert browser.who()["sub"] == "alice"


def test_form_that_is_open_in_another_tab_stays_good(browser: Browser, idp: Idp) -> None:
    browser.client = Client(enforce_csrf_checks=True)
    browser.log_in()
    page = browser.client.get("/oauth/logout")
    token = page.context["csrf_token"]
    browser.log_in()
    response = browser.client.post("/oauth/logout", {"csrfmiddlewaretoken": str(token)})
    assert response.status_code == 302


def test_long_next_survives_without_growing_the_cookies(browser: Browser) -> None:
    next_url = "/after?" + urlencode({"state": "s" * 6000})
    location = browser.begin(next_url)
    assert len(location) < 1000
    assert sum(len(cookie.value) for cookie in browser.client.cookies.values()) < 200
    assert browser.come_back(browser.idp.log_in(location))["Location"] == next_url


@pytest.mark.parametrize(
    "next_url",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "http:///evil.example/",
        "javascript:alert(1)",
        "\x08//evil.example",
        "//evil.example?" + "x" * 3000,
        "/after?" + "x" * 17_000,
        "",
    ],
)
def test_next_leads_nowhere_else(browser: Browser, settings: LazySettings, next_url: str) -> None:
    settings.LOGIN_REDIRECT_URL = "/after?default"
    assert browser.log_in(next_url=next_url)["Location"] == "/after?default"


def test_login_is_audited(browser: Browser) -> None:
    browser.log_in()
    event = Event.objects.get(kind="login")
    assert (event.outcome, event.user) == ("allowed", Identity.objects.get().user)


def test_login_of_the_project_is_used_without_an_upstream(db: None, client: Client, settings: LazySettings) -> None:
    settings.ROOT_URLCONF = "tests.upstream.urls"
    response = client.get("/oauth/login", {"next": "/after?x=1"})
    assert response["Location"] == "/accounts/login/?next=/after%3Fx%3D1"


@pytest.mark.parametrize("login_url", ["mcp_oidc:login", "/oauth/login", "/oauth/login?x=1"])
def test_login_that_leads_to_itself_is_an_error_page(
    db: None, client: Client, settings: LazySettings, login_url: str
) -> None:
    settings.ROOT_URLCONF, settings.LOGIN_URL = "tests.upstream.urls", login_url
    assert client.get("/oauth/login").status_code == 502


def test_login_for_nothing_leads_to_a_page_that_is_there(browser: Browser) -> None:
    assert browser.log_in(next_url="")["Location"] == "/oauth/connections"
    assert browser.client.get("/oauth/connections").status_code == 200


@pytest.mark.requirement("login-other-account")
@pytest.mark.parametrize("next_url", ["/after", "/authorize"])
def test_after_a_refusal_the_provider_is_to_ask_for_another_account_once(
    browser: Browser, public_client: AbstractClient, next_url: str
) -> None:
    wanted = authorize_url(public_client.client_id) if next_url == "/authorize" else next_url
    browser.deny(wanted)
    assert [_params(browser.begin()).get("prompt") for _ in range(2)] == ["login", None]


@pytest.mark.requirement("authorization-request-survives")
def test_authorization_request_of_an_mcp_client_survives_the_login(
    browser: Browser, public_client: AbstractClient
) -> None:
    url = authorize_url(public_client.client_id, state="s" * 2000)
    location = browser.client.get(url)["Location"]
    assert location.startswith(browser.idp.issuer)
    back = browser.come_back(browser.idp.log_in(location))
    assert parse_qs(urlsplit(back["Location"]).query)["state"] == ["s" * 2000]
    assert browser.client.get(back["Location"]).status_code == 200


def test_authorization_request_that_is_too_long_to_come_back_to_is_refused_before_the_login(
    browser: Browser, public_client: AbstractClient
) -> None:
    response = browser.client.get(authorize_url(public_client.client_id, ui_locales="x" * 17_000))
    assert parse_qs(urlsplit(response["Location"]).query)["error"] == ["invalid_request"]


def test_login_is_reached_where_every_other_page_needs_one(
    browser: Browser, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert browser.log_in()["Location"] == "/after"
    assert Browser(browser.idp).client.get("/oauth/logout").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_provider_is_asked(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    class Spy(Provider):
        def exchange_code(self, code: str, *, redirect_uri: str, code_verifier: str) -> IdpTokens:
            seen.append(connection.in_atomic_block)
            return super().exchange_code(code, redirect_uri=redirect_uri, code_verifier=code_verifier)

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr("mcp_oidc.upstream.provider.import_string", lambda path: Spy)
    assert browser.log_in().status_code == 302
    assert seen == [False]


@pytest.mark.parametrize("method", ["post", "put", "delete", "head"])
def test_other_methods_begin_no_login(browser: Browser, method: str) -> None:
    assert getattr(browser.client, method)("/oauth/login").status_code == 405
    assert not LoginAttempt.objects.exists()


def _params(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}


@pytest.mark.requirement("ui-locales")
def test_language_that_the_client_asks_for_is_passed_on(
    browser: Browser, public_client: AbstractClient, idp: Idp, settings: LazySettings
) -> None:
    response = browser.client.get(authorize_url(public_client.client_id, ui_locales="de-AT <x> fr"))
    assert _params(response["Location"])["ui_locales"] == "de-AT fr"
    assert "ui_locales" not in _params(browser.begin())
    configure_upstream(settings, {**idp.upstream, "AUTH_PARAMS": {"ui_locales": "en"}})
    response = browser.client.get(authorize_url(public_client.client_id, ui_locales="de"))
    assert _params(response["Location"])["ui_locales"] == "en"
