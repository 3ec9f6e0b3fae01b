"""What the authorization endpoint makes of a request before it asks anybody anything."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client as Browser
from django.test import override_settings

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.revocation import block_client, delete_client
from mcp_oidc.models import AbstractClient, Connection
from tests.factories import ISSUER, REDIRECT_URI, make_metadata
from tests.server.authorizations import VERIFIER, answer_of, approve, authorize_url, press, request_params, text_of


def assert_is_page(response: Any, status: int = 400) -> None:
    """What went wrong is told to the person, and nobody is sent anywhere."""
    assert response.status_code == status
    assert "Location" not in response.headers
    assert response["Content-Type"].startswith("text/html")
    assert "That did not work" in text_of(response)


def register_with(*redirect_uris: str) -> AbstractClient:
    return register(make_metadata(redirect_uris=list(redirect_uris)), caller=Caller()).client


@pytest.mark.requirement("authorization-unknown-sender")
@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": ""},
        {"client_id": "unknown"},
        {"client_id": "x" * 256},
        {"client_id": "a\0b"},
        {"client_id": "\U0001f600"},
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": f"{REDIRECT_URI}/more"},
        {"redirect_uri": f"{REDIRECT_URI}?a=b"},
        {"redirect_uri": f"{REDIRECT_URI}#fragment"},
        {"redirect_uri": "http://127.0.0.1:33418@evil.example/callback"},
        {"redirect_uri": "http://evil.example\\@127.0.0.1/callback"},
        {"redirect_uri": "http://localhost:33418/callback"},
        {"redirect_uri": "//127.0.0.1:33418/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "http://127.0.0.1:99999/callback"},
        {"redirect_uri": f"{REDIRECT_URI}\r\nSet-Cookie: a=b"},
        {"redirect_uri": " "},
        {"state": "x" * 4097},
    ],
)
def test_unknown_client_or_redirect_uri_gets_a_page_before_any_login(
    stranger: Browser, public_client: AbstractClient, changes: dict[str, str | None]
) -> None:
    assert_is_page(stranger.get(authorize_url(public_client, **changes)))


@pytest.mark.requirement("authorization-unknown-sender")
def test_page_repeats_nothing_of_the_request(stranger: Browser, public_client: AbstractClient) -> None:
    marked = "<script>alert(1)</script>"
    for name in ("client_id", "redirect_uri", marked):
        page = stranger.get(authorize_url(public_client, **{name: marked}) + "&%zz")
        assert marked not in page.content.decode()


@pytest.mark.requirement("authorization-unknown-sender")
@pytest.mark.parametrize("end", [block_client, delete_client])
def test_blocked_or_deleted_client_gets_a_page_at_once(
    browser: Browser, public_client: AbstractClient, end: Any
) -> None:
    page = browser.get(authorize_url(public_client))
    end(public_client)
    assert_is_page(press(browser, page, "allow"))
    assert_is_page(browser.get(authorize_url(public_client)))
    assert not Connection.objects.exists()


def test_scheme_that_the_project_no_longer_allows_gets_a_page(browser: Browser, db: None) -> None:
    client = register_with("cursor://anysphere.cursor-mcp/oauth/callback")
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "REDIRECT_SCHEMES": ["vscode"]}):
        url = authorize_url(client, redirect_uri="cursor://anysphere.cursor-mcp/oauth/callback")
        assert_is_page(browser.get(url))


@pytest.mark.parametrize(
    "query",
    ["%zz", "a=%", "a=%ff", "a=%c3%28", "a=%ed%a0%80", "é=1", "&".join(f"p{n}=1" for n in range(101)), "a" * 70_000],
    ids=lambda query: query[:12],
)
def test_malformed_query_gets_a_page(stranger: Browser, public_client: AbstractClient, query: str) -> None:
    # Nothing in it can be trusted, not even what reads like a redirect URI.
    assert_is_page(stranger.get(f"{authorize_url(public_client)}&{query}"))


@pytest.mark.requirement("no-doubled-parameter")
@pytest.mark.parametrize("name", ["client_id", "redirect_uri", "state"])
def test_doubled_parameter_that_the_answer_depends_on_gets_a_page(
    stranger: Browser, public_client: AbstractClient, name: str
) -> None:
    value = request_params(public_client)[name]
    assert_is_page(stranger.get(f"{authorize_url(public_client)}&{urlencode({name: value})}"))


REFUSED: list[tuple[dict[str, str | None], str]] = [
    ({"response_type": None}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"code_challenge": VERIFIER + "="}, "invalid_request"),
    ({"code_challenge": "x" * 129}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": "s256"}, "invalid_request"),
    ({"resource": "https://elsewhere.example/mcp"}, "invalid_target"),
    ({"resource": f"{ISSUER}/mcp/"}, "invalid_target"),
    ({"resource": f"{ISSUER}/MCP"}, "invalid_target"),
    ({"resource": "http://[a/"}, "invalid_target"),
    ({"scope": "x" * 2001}, "invalid_request"),
    ({"scope": "a\0b"}, "invalid_request"),
    ({"nonce": "x" * 1001}, "invalid_request"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"max_age": "1e3"}, "invalid_request"),
    ({"max_age": "٣"}, "invalid_request"),
    ({"max_age": "9" * 10}, "invalid_request"),
    ({"request": "eyJhbGciOiJub25lIn0."}, "invalid_request"),
    ({"request_uri": "https://app.example/request.jwt"}, "invalid_request"),
]


@pytest.mark.requirement("authorization-errors")
@pytest.mark.requirement("authorization-iss")
@pytest.mark.parametrize(("changes", "error"), REFUSED)
def test_every_other_error_goes_to_the_client_before_any_login(
    stranger: Browser, public_client: AbstractClient, changes: dict[str, str | None], error: str
) -> None:
    answer = answer_of(stranger.get(authorize_url(public_client, **changes)))
    assert answer["error"] == error
    assert answer["state"] == "af0ifjsldkj"
    assert answer["iss"] == ISSUER
    assert set(answer) <= {"error", "error_description", "state", "iss"}


@pytest.mark.requirement("pkce-required")
@pytest.mark.parametrize("changes", [{"code_challenge": None}, {"code_challenge_method": "plain"}])
def test_pkce_is_demanded_of_confidential_clients_too(stranger: Browser, db: None, changes: dict[str, Any]) -> None:
    client = register(make_metadata(token_endpoint_auth_method="client_secret_basic"), caller=Caller()).client
    answer = answer_of(stranger.get(authorize_url(client, **changes)))
    assert answer["error"] == "invalid_request"
    assert "PKCE" in answer["error_description"]


@pytest.mark.requirement("no-doubled-parameter")
@pytest.mark.parametrize("name", ["response_type", "scope", "code_challenge", "resource", "unknown"])
def test_other_doubled_parameters_are_told_to_the_client(
    stranger: Browser, public_client: AbstractClient, name: str
) -> None:
    doubled = urlencode([(name, "a"), (name, "a")])
    rest = authorize_url(public_client, **{name: None} if name != "unknown" else {})
    answer = answer_of(stranger.get(f"{rest}&{doubled}"))
    assert (answer["error"], answer["state"], answer["iss"]) == ("invalid_request", "af0ifjsldkj", ISSUER)


@pytest.mark.requirement("empty-parameter-omitted")
def test_parameter_without_a_value_counts_as_left_out(browser: Browser, public_client: AbstractClient) -> None:
    answer = approve(browser, public_client, state="", prompt="", max_age="", resource="", nonce="", response_mode="")
    assert "code" in answer
    assert "state" not in answer


@pytest.mark.requirement("empty-parameter-omitted")
def test_parameters_that_nobody_knows_are_ignored(browser: Browser, public_client: AbstractClient) -> None:
    assert "code" in approve(browser, public_client, display="popup", ui_locales="de", claims="{}", foo="a b")


def test_only_redirect_uri_need_not_be_named(browser: Browser, public_client: AbstractClient) -> None:
    assert "code" in approve(browser, public_client, redirect_uri=None)


def test_one_of_several_redirect_uris_must_be_named(stranger: Browser, db: None) -> None:
    client = register_with(REDIRECT_URI, "https://app.example/cb")
    assert_is_page(stranger.get(authorize_url(client, redirect_uri=None)))


@pytest.mark.requirement("redirect-uri-exact")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
@pytest.mark.parametrize("ports", [(":33418", ":50123"), ("", ":1"), (":8080", "")])
def test_port_of_a_loopback_host_may_differ(browser: Browser, host: str, ports: tuple[str, str]) -> None:
    registered, presented = (f"http://{host}{port}/callback" for port in ports)
    assert "code" in approve(browser, register_with(registered), redirect_uri=presented)


@pytest.mark.requirement("redirect-query-kept")
@pytest.mark.requirement("authorization-iss")
@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/cb?a=b%20c&d=%2B&e=+",
        "https://app.example/cb?flag",
        "https://app.example?x;y",
        "http://[::1]:7777/cb;p=1",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "cursor://anysphere.cursor-mcp/oauth/callback?x=a%20b",
        "cursor:oauth",
    ],
)
def test_answers_are_added_to_the_registered_uri_as_it_is(browser: Browser, uri: str) -> None:
    client = register_with(uri)
    page = browser.get(authorize_url(client, redirect_uri=uri))
    for decision in ("allow", "deny"):
        location = press(browser, page, decision)["Location"]
        assert location.startswith(uri + ("&" if "?" in uri else "?"))
        assert location.endswith("&state=af0ifjsldkj&iss=http%3A%2F%2Ftestserver")


STATES = [
    "x" * 2000,
    "!*'();:@&=+$,/?#[]" * 100,
    "é" * 2000,
    "🐎" * 2000,
    " leading and trailing ",
    "\r\nSet-Cookie: a=b\r\n\r\n",
    "\t\n",
    "%41%zz+%2B",
    "<script>",
    "؜\u202e\u200b\ufeff\u2028",
    "a=b&iss=https://evil.example&code=c",
    '{"a": [null]}',
    "0",
]


@pytest.mark.requirement("authorization-state")
@pytest.mark.parametrize("state", STATES, ids=lambda state: ascii(state[:16]))
def test_state_comes_back_as_it_was_sent(browser: Browser, public_client: AbstractClient, state: str) -> None:
    page = browser.get(authorize_url(public_client, state=state))
    allowed, denied = (answer_of(press(browser, page, decision)) for decision in ("allow", "deny"))
    refused = answer_of(browser.get(authorize_url(public_client, state=state, response_type="token")))
    assert [answer["state"] for answer in (allowed, denied, refused)] == [state] * 3
    assert "code" in allowed
    assert denied["error"] == "access_denied"


@pytest.mark.requirement("unknown-scope-dropped")
def test_unknown_scopes_are_dropped(browser: Browser, public_client: AbstractClient) -> None:
    approve(browser, public_client, scope='offline_access mcp read:everything "quoted" mcp')
    assert Connection.objects.get().scopes == "mcp"


def test_request_that_ends_up_without_any_scope_is_served(browser: Browser, public_client: AbstractClient) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": {"/mcp": {"SCOPES": []}}}):
        assert "code" in approve(browser, public_client, scope=None)
    assert Connection.objects.get().scopes == ""


@pytest.mark.requirement("authorization-resource-scopes")
def test_scopes_of_the_resource_are_granted_whether_asked_for_or_not(
    browser: Browser, public_client: AbstractClient
) -> None:
    resources = {"/mcp": {"SCOPES": ["notes:read"]}}
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": resources, "SCOPES": {"notes:read": "Read notes"}}):
        page = browser.get(authorize_url(public_client, scope=None))
        press(browser, page, "allow")
    assert "Read notes" in text_of(page)
    assert Connection.objects.get().scopes == "notes:read"


@pytest.mark.parametrize(("resource", "kept"), [(None, "/mcp"), (f"{ISSUER}/mcp/plain", "/mcp/plain")])
def test_resource_is_the_one_asked_for_or_the_first(
    browser: Browser, public_client: AbstractClient, resource: str | None, kept: str
) -> None:
    approve(browser, public_client, resource=resource)
    assert Connection.objects.get().resource == f"{ISSUER}{kept}"


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client: Browser, public_client: AbstractClient, method: str) -> None:
    answer = client.generic(method, authorize_url(public_client))
    assert (answer.status_code, answer["Allow"]) == (405, "GET, POST")
