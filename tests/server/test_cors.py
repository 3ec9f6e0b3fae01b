"""Cross-origin requests of browsers (Fetch): what is open to whom."""

from __future__ import annotations

from typing import Any

import pytest
from corsheaders.signals import check_request_enabled
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client, override_settings

from mcp_oidc.models import AbstractClient
from tests.factories import ISSUER
from tests.server.authorizations import authorize_url

INSPECTOR = "http://localhost:6274"
STRANGER = "https://evil.example"
DOCUMENTS = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/.well-known/oauth-protected-resource/mcp",
    "/jwks",
]
ENDPOINTS = ["/token", "/token/revocation", "/token/introspection", "/register", "/me"]
PAGES = ["/authorize", "/oauth/login", "/oauth/callback", "/oauth/logout"]
HEADERS = ("Authorization", "Content-Type", "MCP-Protocol-Version", "Mcp-Session-Id", "Mcp-Method", "Mcp-Name")

# Whatever a project allows at paths of its own.
GENEROUS = {"CORS_ALLOW_ALL_ORIGINS": True, "CORS_ALLOW_CREDENTIALS": True}

pytestmark = pytest.mark.usefixtures("signing_key")


def preflight(client: Client, path: str, origin: str, *, method: str = "POST") -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": ",".join(HEADERS).lower(),
    }
    return client.options(path, headers=headers)


def cors_headers(response: Any) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.lower().startswith("access-control-")}


@pytest.mark.requirement("cors-metadata-open")
@pytest.mark.parametrize("path", [*DOCUMENTS, "/.well-known/oauth-authorization-server/nobody"])
@pytest.mark.parametrize("origin", [STRANGER, INSPECTOR, "null"])
def test_metadata_is_open_to_any_origin(client: Client, path: str, origin: str) -> None:
    assert client.get(path, headers={"Origin": origin})["Access-Control-Allow-Origin"] == "*"
    assert preflight(client, path, origin, method="GET")["Access-Control-Allow-Origin"] == "*"


@pytest.mark.requirement("cors-endpoints-closed")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("origin", [ISSUER, INSPECTOR, "https://tools.example"])
def test_endpoints_are_open_to_us_the_inspector_and_those_in_the_settings(
    client: Client, path: str, origin: str
) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "CORS_ORIGINS": ["https://tools.example"]}):
        answer = client.post(path, headers={"Origin": origin})
        asked = preflight(client, path, origin)
    assert answer["Access-Control-Allow-Origin"] == origin
    assert asked["Access-Control-Allow-Origin"] == origin


@pytest.mark.requirement("cors-endpoints-closed")
@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    "origin",
    [
        STRANGER,
        "null",
        "*",
        "",
        "http://localhost:6275",
        "https://localhost:6274",
        "http://localhost:6274.evil.example",
        "http://testserver.evil.example",
        "http://testserver@evil.example",
        "http://[",
        "HTTP://LOCALHOST:6274",
    ],
)
def test_endpoints_are_closed_to_others(client: Client, path: str, origin: str) -> None:
    with override_settings(**GENEROUS):
        assert cors_headers(client.post(path, headers={"Origin": origin})) == {}
        assert cors_headers(preflight(client, path, origin)) == {}


@pytest.mark.requirement("cors-preflight")
@pytest.mark.parametrize("path", [*DOCUMENTS, *ENDPOINTS, "/mcp"])
def test_preflight_allows_what_clients_send(client: Client, path: str) -> None:
    answer = preflight(client, path, INSPECTOR)
    allowed = {name.strip().lower() for name in answer["Access-Control-Allow-Headers"].split(",")}
    assert answer.status_code in (200, 204)
    assert {name.lower() for name in HEADERS} <= allowed
    assert {"GET", "POST", "DELETE"} <= set(answer["Access-Control-Allow-Methods"].split(", "))


@pytest.mark.requirement("cors-preflight")
@pytest.mark.parametrize("path", [*DOCUMENTS, *ENDPOINTS, "/mcp"])
def test_browsers_may_read_the_challenge_and_the_session(client: Client, path: str) -> None:
    exposed = client.get(path, headers={"Origin": INSPECTOR})["Access-Control-Expose-Headers"]
    assert exposed == "WWW-Authenticate, Mcp-Session-Id"


@pytest.mark.parametrize("path", [*DOCUMENTS, *ENDPOINTS])
def test_cookies_are_never_allowed(client: Client, path: str) -> None:
    with override_settings(**GENEROUS):
        answer = client.get(path, headers={"Origin": INSPECTOR})
    assert "Access-Control-Allow-Credentials" not in answer


@pytest.mark.parametrize("path", [*DOCUMENTS, *ENDPOINTS, *PAGES])
def test_caches_keep_answers_for_different_origins_apart(client: Client, path: str) -> None:
    assert "origin" in client.get(path)["Vary"].lower()


@pytest.mark.requirement("cors-pages-closed")
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("origin", [ISSUER, INSPECTOR, STRANGER])
def test_pages_are_open_to_no_origin_whatever_the_project_allows(client: Client, path: str, origin: str) -> None:
    with override_settings(**GENEROUS):
        assert cors_headers(client.get(path, headers={"Origin": origin})) == {}
        assert cors_headers(preflight(client, path, origin)) == {}


@pytest.mark.requirement("cors-pages-closed")
def test_consent_page_cannot_be_read_by_another_origin(
    client: Client, user: AbstractBaseUser, public_client: AbstractClient
) -> None:
    client.force_login(user)
    with override_settings(**GENEROUS):
        page = client.get(authorize_url(public_client), headers={"Origin": STRANGER})
    assert page.status_code == 200
    assert cors_headers(page) == {}


@pytest.mark.parametrize("path", ["/admin/login/", "/.well-known/openpgpkey/policy", "/nothing"])
def test_other_paths_are_as_corsheaders_is_set(client: Client, path: str) -> None:
    assert cors_headers(client.get(path, headers={"Origin": STRANGER})) == {}
    with override_settings(CORS_ALLOWED_ORIGINS=[STRANGER], CORS_ALLOW_CREDENTIALS=True):
        answer = client.get(path, headers={"Origin": STRANGER})
        asked = preflight(client, path, STRANGER)
    assert answer["Access-Control-Allow-Origin"] == STRANGER
    assert answer["Access-Control-Allow-Credentials"] == "true"
    assert asked["Access-Control-Allow-Origin"] == STRANGER


def test_signal_of_corsheaders_still_opens_other_paths(client: Client) -> None:
    def allow_everything(**kwargs: Any) -> bool:
        return True

    check_request_enabled.connect(allow_everything)
    try:
        answer = client.get("/admin/login/", headers={"Origin": STRANGER})
    finally:
        check_request_enabled.disconnect(allow_everything)
    assert answer["Access-Control-Allow-Origin"] == STRANGER


def test_other_pages_go_on_while_the_issuer_is_missing(client: Client) -> None:
    with override_settings(MCP_OIDC={}):
        assert client.get("/admin/login/").status_code == 200


@pytest.mark.urls("tests.server.urls_of_another_site")
def test_other_pages_go_on_while_our_urls_are_missing(client: Client) -> None:
    assert client.get("/", headers={"Origin": STRANGER}).status_code == 200
