"""The consent page: what it says, what its buttons do, and what is remembered."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from django.test import override_settings

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.identities import local_identity
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import AbstractClient, Connection, Consent, Event
from tests.factories import ISSUER, make_metadata
from tests.server.authorizations import (
    answer_of,
    approve,
    authorize_url,
    code_params,
    form_of,
    json_of,
    post_form,
    press,
    text_of,
)
from tests.server.hostile_names import HOSTILE_NAMES


def register_with(**members: Any) -> AbstractClient:
    return register(make_metadata(**members), caller=Caller()).client


def test_page_says_who_asks_as_whom_for_what_and_where_it_goes(browser: Browser, public_client: AbstractClient) -> None:
    page = text_of(browser.get(authorize_url(public_client, scope="openid profile email mcp notes:write")))
    for text in (
        "Test client",
        "nobody has checked it",
        "a program on this computer",
        "Use this MCP server as you",
        "Write notes",
        "See your name",
        "See your e-mail address",
        f"Test tools, {ISSUER}/mcp",
        "alice",
    ):
        assert text in page


@pytest.mark.requirement("consent-destination")
@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://app.example/cb", "app.example"),
        ("https://claude.ai.login.app.example:8443/claude.ai", "claude.ai.login.app.example"),
        (f"https://claude.ai.{'a' * 60}.{'b' * 60}.evil.example/cb", ".evil.example"),
        ("https://xn--80ak6aa92e.example/cb", "xn--80ak6aa92e.example"),
        ("http://localhost:8787/callback", "a program on this computer"),
        ("http://[::1]:8787/callback", "a program on this computer"),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "the app on this device that opens cursor: links"),
        ("cursor://trusted.example/cb", "the app on this device that opens cursor: links"),
    ],
)
def test_page_names_the_whole_host_that_the_answer_goes_to(browser: Browser, uri: str, shown: str) -> None:
    page = browser.get(authorize_url(register_with(redirect_uris=[uri]), redirect_uri=uri))
    assert shown in text_of(page)


@pytest.mark.requirement("resource-implied-scopes")
def test_page_says_what_a_scope_implies(browser: Browser, public_client: AbstractClient) -> None:
    scopes = {"mcp": "Use it", "notes:admin": "Manage notes", "notes:write": "Write notes", "notes:read": "Read notes"}
    implied = {"notes:admin": ["notes:write"], "notes:write": ["notes:read"]}
    with override_settings(MCP_OIDC={**settings.MCP_OIDC, "SCOPES": scopes, "IMPLIED_SCOPES": implied}):
        page = text_of(browser.get(authorize_url(public_client, scope="mcp notes:write")))
    assert "Use it Write notes Read notes" in page
    assert "Manage notes" not in page


@pytest.mark.parametrize("uri", ["http://localhost:8787/callback", "cursor://anysphere.cursor-mcp/oauth/callback"])
def test_page_warns_of_apps_that_anybody_on_the_device_could_be(browser: Browser, uri: str) -> None:
    page = browser.get(authorize_url(register_with(redirect_uris=[uri]), redirect_uri=uri))
    assert "Only allow this if you have just started to connect an app" in text_of(page)


def test_trusted_client_is_not_called_unchecked(browser: Browser, public_client: AbstractClient) -> None:
    public_client.trust = "trusted"
    public_client.save()
    page = text_of(browser.get(authorize_url(public_client)))
    assert "The people who run this server trust this app." in page
    assert "nobody has checked it" not in page
    assert "unverified" not in page


@pytest.mark.requirement("consent-name-inert")
@pytest.mark.parametrize(("name", "shown"), HOSTILE_NAMES)
def test_name_of_a_client_is_only_text(browser: Browser, name: str, shown: str) -> None:
    page = browser.get(authorize_url(register_with(client_name=name)))
    assert f"Allow this app to act for you? {shown} unverified The app chose" in text_of(page)
    assert page.content.count(b"<script") == page.content.count(b"<img") == 0


@pytest.mark.requirement("page-headers")
@pytest.mark.parametrize("changes", [{}, {"client_id": "unknown"}, {"redirect_uri": "https://evil.example"}])
def test_pages_are_not_framed_cached_or_run_in(
    browser: Browser, public_client: AbstractClient, changes: dict[str, str]
) -> None:
    page = browser.get(authorize_url(public_client, **changes))
    policy = dict(directive.split(" ", 1) for directive in page["Content-Security-Policy"].split("; "))
    nonce = re.fullmatch(r"'nonce-([\w-]{20,})'", policy.pop("style-src"))
    # No form-action, which browsers apply to the redirect that follows.
    assert policy == {
        "default-src": "'none'",
        "img-src": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert nonce is not None
    assert f'<style nonce="{nonce[1]}">' in page.content.decode()
    assert page["X-Frame-Options"] == "DENY"
    assert "no-store" in page["Cache-Control"]
    assert page["Referrer-Policy"] == "same-origin"
    assert page["X-Content-Type-Options"] == "nosniff"


@pytest.mark.requirement("page-headers")
def test_redirects_to_clients_are_not_cached_and_send_no_referrer(
    browser: Browser, public_client: AbstractClient
) -> None:
    page = browser.get(authorize_url(public_client))
    for decision in ("allow", "deny"):
        response = press(browser, page, decision)
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "no-referrer"


@pytest.mark.requirement("consent-csrf")
@pytest.mark.parametrize("change", [{"csrfmiddlewaretoken": "x" * 64}, {"csrfmiddlewaretoken": ""}])
@pytest.mark.parametrize("has_middleware", [True, False])
def test_decision_without_the_csrf_token_of_the_page_counts_for_nothing(
    browser: Browser, public_client: AbstractClient, change: dict[str, str], has_middleware: bool
) -> None:
    url = authorize_url(public_client)
    form = {**form_of(browser.get(url)), "decision": "allow", **change}
    middleware = [path for path in settings.MIDDLEWARE if has_middleware or "csrf" not in path]
    with override_settings(MIDDLEWARE=middleware):
        assert browser.post(url, form).status_code == 403
    assert not Connection.objects.exists()


@pytest.mark.requirement("consent-csrf")
def test_decision_from_another_origin_counts_for_nothing(browser: Browser, public_client: AbstractClient) -> None:
    url = authorize_url(public_client)
    form = {**form_of(browser.get(url)), "decision": "allow"}
    assert browser.post(url, form, headers={"Origin": "https://evil.example"}).status_code == 403
    assert not Connection.objects.exists()


@pytest.mark.requirement("consent-denied")
@pytest.mark.requirement("authorization-iss")
def test_no_is_told_to_the_client_and_the_audit_and_not_remembered(
    browser: Browser, public_client: AbstractClient
) -> None:
    answer = answer_of(press(browser, browser.get(authorize_url(public_client)), "deny"))
    assert answer == {
        "error": "access_denied",
        "error_description": "The user said no.",
        "state": "af0ifjsldkj",
        "iss": ISSUER,
    }
    assert not Connection.objects.exists()
    assert not Consent.objects.exists()
    assert Event.objects.get(kind="consent").outcome == "refused"
    assert browser.get(authorize_url(public_client)).status_code == 200


@pytest.mark.parametrize("decision", ["", "ALLOW", "yes", "allow "])
def test_anything_but_allow_and_deny_asks_again(browser: Browser, public_client: AbstractClient, decision: str) -> None:
    assert press(browser, browser.get(authorize_url(public_client)), decision).status_code == 200
    assert not Connection.objects.exists()


@pytest.mark.requirement("clients-consent-twice")
def test_page_that_was_fetched_twice_works_twice(browser: Browser, public_client: AbstractClient) -> None:
    pages = [browser.get(authorize_url(public_client)) for _ in range(2)]
    for page in pages:
        code = answer_of(press(browser, page, "allow"))["code"]
        assert json_of(post_form("/token", code_params(public_client, code)), 200)


@pytest.mark.requirement("one-code-for-one-consent")
def test_form_that_was_sent_twice_is_answered_with_one_code(browser: Browser, public_client: AbstractClient) -> None:
    page = browser.get(authorize_url(public_client))
    answers = [answer_of(press(browser, page, "allow")) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (Consent.objects.count(), Connection.objects.count()) == (1, 1)
    assert Event.objects.filter(kind="connection.approved").count() == 1
    assert json_of(post_form("/token", code_params(public_client, answers[1]["code"])), 200)


@pytest.mark.requirement("one-code-for-one-consent")
@pytest.mark.parametrize("change", [{"state": "another"}, {"nonce": "another"}, {"scope": "openid mcp notes:write"}])
def test_another_request_gets_another_code(
    browser: Browser, public_client: AbstractClient, change: dict[str, str]
) -> None:
    pages = [browser.get(authorize_url(public_client, **params)) for params in ({}, change)]
    codes = {answer_of(press(browser, page, "allow"))["code"] for page in pages}
    assert len(codes) == 2


@pytest.fixture
def mallory(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create_user("mallory", "mallory@example.com", "another long password")


@pytest.mark.requirement("consent-same-person")
@pytest.mark.parametrize("decision", ["allow", "deny"])
@pytest.mark.parametrize("has_approved", [True, False])
def test_decision_of_the_one_who_was_there_before_is_asked_of_the_one_who_is_there_now(
    browser: Browser, public_client: AbstractClient, mallory: AbstractBaseUser, decision: str, has_approved: bool
) -> None:
    identity = form_of(browser.get(authorize_url(public_client)))["identity"]
    browser.force_login(mallory)
    if has_approved:
        approve(browser, public_client)
    opened = Connection.objects.count()
    page = browser.get(authorize_url(public_client, prompt="consent"))
    form = {**form_of(page), "identity": identity, "decision": decision}
    assert "As mallory" in text_of(browser.post(authorize_url(public_client), form))
    assert Connection.objects.count() == opened


class Selective(Adapter):
    """Lets nobody write, and refuses one user altogether."""

    def authorize_connection(self, user: Any, client: Any, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if user.get_username() == "mallory":
            raise AccessDenied("Not with this account.")
        return tuple(scope for scope in scopes if scope != "notes:write")


def test_adapter_may_grant_less(browser: Browser, public_client: AbstractClient) -> None:
    with override_settings(
        MCP_OIDC={"ISSUER": ISSUER, "ADAPTER": Selective, "SCOPES": {"mcp": "-", "notes:write": "-"}}
    ):
        approve(browser, public_client, scope="mcp notes:write")
    assert Connection.objects.get().scopes == "mcp"


def test_adapter_may_refuse_a_user(browser: Browser, public_client: AbstractClient, mallory: AbstractBaseUser) -> None:
    browser.force_login(mallory)
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "ADAPTER": Selective}):
        answer = answer_of(browser.get(authorize_url(public_client)))
    assert (answer["error"], answer["error_description"]) == ("access_denied", "Not with this account.")
    assert (answer["state"], answer["iss"]) == ("af0ifjsldkj", ISSUER)


def test_identity_on_the_page_is_the_subject_and_no_name(
    browser: Browser, public_client: AbstractClient, user: AbstractBaseUser
) -> None:
    form = form_of(browser.get(authorize_url(public_client)))
    assert form["identity"] == str(local_identity(user).subject)
    assert set(form) == {"csrfmiddlewaretoken", "identity"}


@pytest.mark.requirement("clients-trusted-name")
@pytest.mark.requirement("consent-imitation")
@pytest.mark.parametrize(
    ("name", "uri", "product"),
    [
        ("Claude", "https://evil.example/cb", "Claude"),
        ("Cl\u0430ude", "https://evil.example/cb", "Claude"),
        ("Claude", "https://claude.ai/api/mcp/auth_callback", None),
        ("Claude", "cursor://anysphere.cursor-mcp/oauth/callback", "Claude"),
        ("Cursor", "cursor://anysphere.cursor-mcp/oauth/callback", None),
        ("Claude Code", "http://localhost:8787/callback", None),
        ("Cursor", "http://127.0.0.1:8787/callback", None),
        ("Tools", "https://evil.example/cb", None),
    ],
)
def test_page_warns_of_a_name_that_reads_like_a_products(
    browser: Browser, name: str, uri: str, product: str | None
) -> None:
    client = register_with(client_name=name, redirect_uris=[uri])
    page = text_of(browser.get(authorize_url(client, redirect_uri=uri)))
    assert (f"the app is not at an address of {product}." in page) is (product is not None)
    assert ("Somebody may be pretending" in page) is (product is not None)
    assert "unverified" in page


@pytest.mark.requirement("consent-imitation")
def test_client_that_an_operator_trusts_is_not_called_an_imitation(browser: Browser) -> None:
    client = register_with(client_name="Claude", redirect_uris=["https://proxy.example/cb"])
    client.trust = "trusted"
    client.save()
    page = browser.get(authorize_url(client, redirect_uri="https://proxy.example/cb"))
    assert "pretending" not in text_of(page)


@pytest.mark.requirement("consent-imitation")
@pytest.mark.parametrize(("host", "is_warned_of"), [("claude.ai", False), ("evil.example", True)])
def test_host_of_a_metadata_document_is_named_and_compared(browser: Browser, host: str, is_warned_of: bool) -> None:
    client = register_with(client_name="Claude Code")
    client.client_id = f"https://{host}/oauth/metadata.json"
    client.save()
    page = text_of(browser.get(authorize_url(client)))
    assert f"Its description comes from {host}" in page
    assert ("pretending" in page) is is_warned_of


def test_name_cannot_go_on_in_a_sentence_of_ours(browser: Browser) -> None:
    name = "Claude. Checked by the people who run this server"
    page = browser.get(authorize_url(register_with(client_name=name)))
    # Alone on its line, and nowhere else.
    assert page.content.decode().count(name) == 1
    assert f'<p class="name"><bdi>{name}</bdi></p>' in page.content.decode()
