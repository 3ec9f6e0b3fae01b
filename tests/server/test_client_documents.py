"""Clients with a metadata document, over HTTP: read for users who are there, kept, and refused where it has to be."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event as Gate
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.cache import cache
from django.http import HttpRequest
from django.test import Client as Browser
from oauth2_provider.cimd import CIMDError

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_hosts import block_host, trust_host, unblock_host
from mcp_oidc.core.clients import find_client, is_trusted, register
from mcp_oidc.core.revocation import block_client, delete_client
from mcp_oidc.errors import AccessDenied, TemporarilyUnavailable, UpstreamUnavailable
from mcp_oidc.models import Client, Event
from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.client_metadata import ClientMetadata
from mcp_oidc.protocol.jwks import SigningJwk
from mcp_oidc.server.document_fetch import fetch_document
from tests.core.passing import let_pass
from tests.factories import make_metadata
from tests.server.authorizations import VERIFIER, answer_of, form_of, json_of, post_form, press, text_of
from tests.server.documents import (
    APP,
    APP_REDIRECT,
    CHATGPT,
    CHATGPT_DOCUMENT,
    CHATGPT_KEYS,
    CHATGPT_REDIRECT,
    CLAUDE_CODE,
    CLAUDE_CODE_DOCUMENT,
    Web,
    make_document,
    sign,
)


def authorize_url(client_id: str = APP, redirect_uri: str = APP_REDIRECT, **changes: str) -> str:
    params = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": "mcp",
        "state": "s" * 521,
        "code_challenge": pkce.challenge_for(VERIFIER),
        "code_challenge_method": "S256",
        **changes,
    }
    return f"/authorize?{urlencode(params)}"


def assert_is_page(response: Any, status: int) -> str:
    """Nobody is sent anywhere. What the page says."""
    assert response.status_code == status
    assert "Location" not in response.headers
    return text_of(response)


def assert_asks(response: Any) -> None:
    """The consent page is there."""
    assert response.status_code == 200, response.content
    assert form_of(response)


def connect(browser: Browser, client_id: str, redirect_uri: str, proof: dict[str, str] | None = None) -> dict[str, Any]:
    """Approve a client and redeem its code; the tokens. `proof` is what it authenticates with."""
    answer = answer_of(press(browser, browser.get(authorize_url(client_id, redirect_uri)), "allow"), redirect_uri)
    assert answer["state"] == "s" * 521
    asked = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": redirect_uri,
        "code_verifier": VERIFIER,
        **(proof or {"client_id": client_id}),
    }
    tokens: dict[str, Any] = json_of(post_form("/token", asked), 200)
    return tokens


def refresh(tokens: dict[str, Any], proof: dict[str, str], status: int = 200) -> dict[str, Any]:
    asked = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], **proof}
    return json_of(post_form("/token", asked), status)


@pytest.fixture
def known(browser: Browser, web: Web) -> Client:
    """A client whose document has been read."""
    web.published[APP] = make_document()
    assert_asks(browser.get(authorize_url()))
    web.fetched.clear()
    return Client.objects.get(client_id=APP)


@pytest.fixture
def stale(known: Client) -> Client:
    """A client whose document should be read again."""
    let_pass(301, known)
    return known


@pytest.mark.requirement("client-document-chatgpt")
def test_chatgpt_connects_with_assertions_signed_by_its_published_key(
    browser: Browser, web: Web, rsa_key: SigningJwk
) -> None:
    web.published.update({CHATGPT: CHATGPT_DOCUMENT, CHATGPT_KEYS: {"keys": [rsa_key.public]}})
    tokens = connect(browser, CHATGPT, CHATGPT_REDIRECT, sign(CHATGPT, rsa_key))
    again = refresh(tokens, {"client_id": CHATGPT, **sign(CHATGPT, rsa_key)})
    refresh(again, sign(CHATGPT, rsa_key, aud="http://testserver/token"))
    assert web.fetched == [CHATGPT, CHATGPT_KEYS]


@pytest.mark.requirement("client-document-chatgpt")
def test_chatgpt_connects_without_an_assertion_because_its_document_lists_none(browser: Browser, web: Web) -> None:
    web.published.update({CHATGPT: CHATGPT_DOCUMENT})
    refresh(connect(browser, CHATGPT, CHATGPT_REDIRECT), {"client_id": CHATGPT})


@pytest.mark.requirement("client-document-claude-code")
@pytest.mark.parametrize("redirect_uri", ["http://localhost:54545/callback", "http://127.0.0.1:3118/callback"])
def test_claude_code_connects_on_any_port(browser: Browser, web: Web, redirect_uri: str) -> None:
    web.published.update({CLAUDE_CODE: CLAUDE_CODE_DOCUMENT})
    refresh(connect(browser, CLAUDE_CODE, redirect_uri), {"client_id": CLAUDE_CODE})
    assert web.fetched == [CLAUDE_CODE]


@pytest.mark.requirement("client-document-kept")
def test_client_is_kept_and_recorded_once(browser: Browser, known: Client, web: Web) -> None:
    assert_asks(browser.get(authorize_url()))
    assert web.fetched == []
    assert (known.registration_source, known.host, known.name) == ("cimd", "app.example", "Example app")
    assert Event.objects.get(kind="client.registered").client_id == known.pk


@pytest.mark.requirement("client-document-after-login")
def test_stranger_logs_in_before_anything_is_fetched(
    stranger: Browser, user: AbstractBaseUser, signing_key: SigningJwk, web: Web
) -> None:
    web.published[APP] = make_document()
    response = stranger.get(authorize_url(prompt="login", max_age="0"))
    assert response.headers["Location"].startswith("/accounts/login/?")
    assert web.fetched == []
    # The request is taken up as it was, but for what the login fulfils.
    [url] = parse_qs(urlsplit(response.headers["Location"]).query)["next"]
    stranger.force_login(user)
    assert_asks(stranger.get(url))


@pytest.mark.requirement("client-document-after-login")
@pytest.mark.parametrize(
    "changes",
    [{"prompt": "none"}, {"response_type": "token"}, {"code_challenge": "short"}, {"max_age": "x"}, {"request": "a.b"}],
)
def test_errors_before_the_document_is_read_are_pages(stranger: Browser, web: Web, changes: dict[str, str]) -> None:
    web.published[APP] = make_document()
    assert_is_page(stranger.get(authorize_url(**changes)), 400)
    assert web.fetched == []


@pytest.mark.requirement("client-document-after-login")
def test_errors_go_to_the_client_once_its_document_has_been_read(browser: Browser, web: Web) -> None:
    web.published[APP] = make_document()
    assert answer_of(browser.get(authorize_url(prompt="none")), APP_REDIRECT)["error"] == "consent_required"


@pytest.mark.requirement("client-document-redirects")
def test_redirect_uri_that_the_document_lacks_gets_a_page(browser: Browser, web: Web) -> None:
    web.published[APP] = make_document(redirect_uris=["javascript:alert(1)", APP_REDIRECT])
    for uri in ("https://evil.example/callback", "javascript:alert(1)", f"{APP_REDIRECT}/more"):
        assert_is_page(browser.get(authorize_url(redirect_uri=uri)), 400)
    assert_asks(browser.get(authorize_url()))


UNUSABLE: list[Any] = [
    make_document(client_id="https://evil.example/client.json"),
    make_document(redirect_uris=["http://app.example/callback"]),
    make_document(client_secret="hunter2"),
    make_document(token_endpoint_auth_method="client_secret_basic"),
    {},
]


@pytest.mark.requirement("client-document-unusable")
@pytest.mark.parametrize("document", UNUSABLE, ids=range(len(UNUSABLE)))
def test_document_that_cannot_be_used_gets_a_page_that_says_why(browser: Browser, web: Web, document: Any) -> None:
    web.published[APP] = document
    for _ in range(2):
        page = assert_is_page(browser.get(authorize_url()), 400)
        assert "describes itself in a way that this server cannot use" in page
        assert "must" in page or "holds no URI" in page
    assert web.fetched == [APP]
    assert not Client.objects.exists()


NOT_FETCHED: list[Any] = [
    CIMDError("HTTP 500"),
    ValueError("a fetcher of the project's own"),
    RecursionError("deep JSON"),
    make_document(client_name="a\0b"),
    make_document(client_name="\ud800"),
    make_document(client_name=float("nan")),
    make_document(deep=[[[[[[[[[[[[1]]]]]]]]]]]]),
    [make_document()],
    None,
]


@pytest.mark.requirement("client-document-unavailable")
@pytest.mark.parametrize("document", NOT_FETCHED, ids=range(len(NOT_FETCHED)))
def test_document_that_cannot_be_read_gets_a_page_and_is_left_alone_for_a_minute(
    browser: Browser, web: Web, document: Any
) -> None:
    web.published[APP] = document
    for _ in range(3):
        response = browser.get(authorize_url())
        assert "cannot be read just now" in assert_is_page(response, 503)
        assert response.headers["Retry-After"] == "60"
    assert web.fetched == [APP]
    web.published[APP] = make_document()
    cache.clear()
    assert_asks(browser.get(authorize_url()))


@pytest.mark.requirement("client-document-unavailable")
def test_broken_cache_costs_a_fetch_and_nothing_else(browser: Browser, web: Web, settings: LazySettings) -> None:
    settings.CACHES = {"default": {"BACKEND": "tests.server.documents.BrokenCache"}}
    for _ in range(2):
        assert_is_page(browser.get(authorize_url()), 503)
    web.published[APP] = make_document()
    assert_asks(browser.get(authorize_url()))


class SlowWeb(Web):
    """Answers once the gate is open."""

    gate = Gate()

    def fetch(self, url: str) -> tuple[Any, int]:
        assert self.gate.wait(30)
        return {}, 300


@pytest.fixture
def slow_web(settings: LazySettings) -> Iterator[Gate]:
    """Every fetch hangs until the gate is open; one at a time is allowed, for a fraction of a second."""
    SlowWeb.gate.clear()
    settings.OAUTH2_PROVIDER = {
        "CIMD_METADATA_FETCHER": "tests.server.test_client_documents.SlowWeb",
        "CIMD_FETCH_TIMEOUT_SECONDS": 0.05,
        "CIMD_MAX_CONCURRENT_FETCHES": 1,
    }
    yield SlowWeb.gate
    SlowWeb.gate.set()


@pytest.mark.requirement("client-document-bounded")
def test_fetch_that_hangs_is_given_up_and_keeps_its_place(slow_web: Gate, browser: Browser) -> None:
    with pytest.raises(UpstreamUnavailable):
        fetch_document(APP)
    with pytest.raises(TemporarilyUnavailable):
        fetch_document("https://other.example/client")
    assert_is_page(browser.get(authorize_url()), 503)


@pytest.mark.requirement("client-document-ssrf")
@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "192.168.1.1", "169.254.169.254", "[::ffff:127.0.0.1]"],
)
def test_document_on_an_address_that_is_not_public_is_never_fetched(browser: Browser, host: str) -> None:
    # With DOT's own fetcher, as in production.
    with pytest.raises(UpstreamUnavailable, match="non-public"):
        fetch_document(f"https://{host}/client.json")
    assert_is_page(browser.get(authorize_url(f"https://{host}/client.json")), 503)


@pytest.mark.requirement("client-document-stale")
def test_stale_document_is_read_again_for_a_user_who_is_there(
    stranger: Browser, browser: Browser, web: Web, stale: Client
) -> None:
    assert stranger.get(authorize_url()).status_code == 302
    assert web.fetched == []
    assert_asks(browser.get(authorize_url()))
    assert_asks(browser.get(authorize_url()))
    assert web.fetched == [APP]
    assert not Event.objects.filter(kind="client.changed").exists()


@pytest.mark.requirement("client-document-stale")
def test_redirect_uri_that_was_taken_out_of_the_document_stops_working(
    browser: Browser, web: Web, stale: Client
) -> None:
    new = "https://app.example/new"
    web.published[APP] = make_document(redirect_uris=[new], client_name="Renamed")
    assert_is_page(browser.get(authorize_url()), 400)
    assert_asks(browser.get(authorize_url(redirect_uri=new)))
    stale.refresh_from_db()
    assert (stale.name, stale.redirect_uris) == ("Renamed", new)
    assert Event.objects.get(kind="client.changed").client_id == stale.pk


@pytest.mark.requirement("client-document-stale")
def test_redirect_uri_that_a_stale_document_lacks_is_looked_for_after_the_login(
    stranger: Browser, browser: Browser, web: Web, stale: Client
) -> None:
    new = "https://app.example/new"
    web.published[APP] = make_document(redirect_uris=[APP_REDIRECT, new])
    response = stranger.get(authorize_url(redirect_uri=new))
    assert response.headers["Location"].startswith("/accounts/login/?")
    assert_asks(browser.get(authorize_url(redirect_uri=new)))


@pytest.mark.requirement("client-document-stale")
@pytest.mark.parametrize("document", [CIMDError("HTTP 500"), *UNUSABLE], ids=range(len(UNUSABLE) + 1))
def test_last_good_document_is_served_while_a_newer_one_cannot_be_had(
    browser: Browser, web: Web, stale: Client, document: Any
) -> None:
    web.published[APP] = document
    assert_asks(browser.get(authorize_url()))
    assert_asks(browser.get(authorize_url()))
    assert web.fetched == [APP]


@pytest.mark.requirement("client-document-no-fetch-at-token")
def test_token_endpoint_fetches_no_document(browser: Browser, web: Web) -> None:
    web.published[APP] = make_document()
    asked = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": APP}
    assert json_of(post_form("/token", asked), 401)["error"] == "invalid_client"
    assert web.fetched == []
    tokens = connect(browser, APP, APP_REDIRECT)
    let_pass(301, Client.objects.get(client_id=APP))
    refresh(tokens, {"client_id": APP})
    assert web.fetched == [APP]


@pytest.mark.requirement("client-document-refused")
@pytest.mark.parametrize("end", [block_client, delete_client])
def test_blocked_or_deleted_client_does_not_come_back_by_its_document(
    stranger: Browser, browser: Browser, web: Web, stale: Client, end: Any
) -> None:
    end(stale)
    for visitor in (stranger, browser):
        assert "does not know the app" in assert_is_page(visitor.get(authorize_url()), 400)
    assert web.fetched == []


@pytest.mark.requirement("client-document-refused")
def test_clients_of_a_blocked_host_are_refused_everywhere_until_it_is_unblocked(browser: Browser, web: Web) -> None:
    web.published.update({APP: make_document(), CHATGPT: CHATGPT_DOCUMENT})
    tokens = connect(browser, APP, APP_REDIRECT)
    others = connect(browser, CHATGPT, CHATGPT_REDIRECT)
    block_host("app.example")
    assert_is_page(browser.get(authorize_url()), 400)
    assert_is_page(browser.get(authorize_url("https://APP.example/another")), 400)
    assert refresh(tokens, {"client_id": APP}, 401)["error"] == "invalid_client"
    refresh(others, {"client_id": CHATGPT})
    unblock_host("app.example")
    assert_asks(browser.get(authorize_url()))
    # What was revoked stays revoked.
    assert refresh(tokens, {"client_id": APP}, 400)["error"] == "invalid_grant"
    assert web.fetched == [APP, CHATGPT]


@pytest.mark.requirement("client-host-trust")
def test_trusted_host_vouches_for_documents_and_for_nobody_who_only_names_it(
    browser: Browser, known: Client, caller: Caller
) -> None:
    imitator = register(make_metadata(redirect_uris=[APP_REDIRECT]), caller=caller).client
    vouched = "The people who run this server trust this app."
    assert vouched not in text_of(browser.get(authorize_url()))
    trust_host("app.example")
    assert imitator.host == "app.example"
    assert (is_trusted(known), is_trusted(imitator)) == (True, False)
    assert vouched in text_of(browser.get(authorize_url()))
    assert vouched not in text_of(browser.get(authorize_url(imitator.client_id)))


@pytest.mark.requirement("client-document-setting")
@pytest.mark.parametrize(("registration", "is_open"), [("open", True), ("cimd", True), ("closed", False)])
def test_registration_setting_decides_and_the_metadata_says_so(
    browser: Browser, web: Web, settings: LazySettings, registration: str, is_open: bool
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REGISTRATION": registration}
    web.published[APP] = make_document()
    metadata = browser.get("/.well-known/oauth-authorization-server").json()
    assert metadata["client_id_metadata_document_supported"] is is_open
    assert browser.get(authorize_url()).status_code == (200 if is_open else 400)
    assert web.fetched == ([APP] if is_open else [])


@pytest.mark.requirement("client-document-setting")
def test_client_that_is_known_is_served_after_registration_was_closed(
    browser: Browser, web: Web, stale: Client, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REGISTRATION": "closed"}
    assert_asks(browser.get(authorize_url()))
    assert web.fetched == []


class NoExamples(Adapter):
    """Refuses clients by the host of their document."""

    def authorize_registration(self, request: HttpRequest, metadata: ClientMetadata) -> None:
        if getattr(metadata, "host", "") == "app.example":
            raise AccessDenied("This app is not for our company.")


def test_adapter_is_asked_about_every_document(browser: Browser, web: Web, settings: LazySettings) -> None:
    web.published.update({APP: make_document(), CLAUDE_CODE: CLAUDE_CODE_DOCUMENT})
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": NoExamples}
    assert "not for our company" in assert_is_page(browser.get(authorize_url()), 403)
    assert_asks(browser.get(authorize_url(CLAUDE_CODE, "http://localhost:1234/callback")))
    assert find_client(APP) is None


def test_list_of_allowed_hosts_of_dot_is_kept_to(browser: Browser, web: Web, settings: LazySettings) -> None:
    web.published[APP] = make_document()
    permissions = ["oauth2_provider.cimd.HostAllowlistCIMDPermission"]
    allowed = {**settings.OAUTH2_PROVIDER, "CIMD_REGISTRATION_PERMISSION_CLASSES": permissions}
    settings.OAUTH2_PROVIDER = {**allowed, "CIMD_ALLOWED_HOSTS": ["other.example"]}
    assert_is_page(browser.get(authorize_url()), 400)
    assert web.fetched == []
    settings.OAUTH2_PROVIDER = {**allowed, "CIMD_ALLOWED_HOSTS": [".app.example"]}
    assert_asks(browser.get(authorize_url()))


@pytest.mark.requirement("client-document-url")
@pytest.mark.parametrize("client_id", ["http://app.example/client", "https://app.example", "https://a@app.example/c"])
def test_url_that_is_no_client_id_is_unknown_at_once(stranger: Browser, web: Web, client_id: str) -> None:
    assert "does not know the app" in assert_is_page(stranger.get(authorize_url(client_id)), 400)


def test_document_does_not_take_over_a_client_that_came_another_way(browser: Browser, web: Web, caller: Caller) -> None:
    client = register(make_metadata(redirect_uris=["https://kept.example/cb"]), caller=caller).client
    Client.objects.filter(pk=client.pk).update(client_id=APP)
    web.published[APP] = make_document()
    assert_is_page(browser.get(authorize_url()), 400)
    assert_asks(browser.get(authorize_url(redirect_uri="https://kept.example/cb")))
    assert web.fetched == []
