"""The TypeScript SDKs, `@modelcontextprotocol/sdk` 1.32.2 and `@modelcontextprotocol/client` 2.4.0: what zod takes."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client as Browser

from mcp_oidc.core.clients import find_client
from mcp_oidc.core.revocation import delete_client
from mcp_oidc.models import AbstractClient
from tests.clients.replay import ReplayedClient, register, values_in
from tests.factories import ISSUER
from tests.server.authorizations import answer_of, basic, json_of, press

REDIRECT_URI = "http://localhost:4711/callback"
# Members that a host leaves empty come as "" and not at all.
DOCUMENT = {
    "client_name": "Journey",
    "client_uri": "",
    "logo_uri": "",
    "tos_uri": "",
    "policy_uri": "",
    "contacts": [],
    "redirect_uris": [REDIRECT_URI],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "scope": "mcp",
}
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
RESOURCE_METADATA = "/.well-known/oauth-protected-resource/mcp"
PREFLIGHT = "authorization,content-type,mcp-protocol-version,mcp-session-id,mcp-method,mcp-name"

pytestmark = pytest.mark.usefixtures("signing_key")


@pytest.fixture
def public(db: None) -> ReplayedClient:
    return ReplayedClient(register(DOCUMENT), REDIRECT_URI)


@pytest.fixture
def confidential(db: None) -> ReplayedClient:
    """With a secret: in the header as it is, not percent-encoded, and no id in the body."""
    registered = register({**DOCUMENT, "token_endpoint_auth_method": "client_secret_basic"})
    header = basic(registered["client_id"], registered["client_secret"])
    return ReplayedClient(registered, REDIRECT_URI, credentials={}, headers={"Authorization": header})


@pytest.mark.requirement("clients-no-null")
def test_no_answer_that_it_reads_holds_a_null_or_an_empty_string(browser: Browser, public: ReplayedClient) -> None:
    documents: list[Any] = [browser.get(path).json() for path in (AUTHORIZATION_SERVER, OPENID, RESOURCE_METADATA)]
    dead = public.refresh({"refresh_token": "dead"})
    for document in (*documents, public.registered, public.connect(browser), json_of(dead, 400)):
        assert None not in values_in(document)
        assert "" not in values_in(document)


@pytest.mark.requirement("clients-typescript-registration")
def test_registration_gives_an_id_and_the_redirects_and_no_empty_member_back(public: ReplayedClient) -> None:
    assert public.registered["client_id"]
    assert public.registered["redirect_uris"] == [REDIRECT_URI]
    assert {"client_uri", "logo_uri", "tos_uri", "policy_uri", "contacts"}.isdisjoint(public.registered)


@pytest.mark.requirement("clients-typescript-metadata")
def test_metadata_has_all_that_the_sdks_require_of_either_document(client: Browser) -> None:
    oauth, openid = client.get(AUTHORIZATION_SERVER).json(), client.get(OPENID).json()
    for document in (oauth, openid):
        assert "code" in document["response_types_supported"]
        assert "S256" in document["code_challenge_methods_supported"]
    assert urlsplit(openid["jwks_uri"]).scheme in ("http", "https")
    assert openid["subject_types_supported"]
    assert openid["id_token_signing_alg_values_supported"]


@pytest.mark.requirement("clients-typescript-basic")
def test_basic_credentials_work_as_they_are_because_nothing_in_them_needs_encoding(
    browser: Browser, confidential: ReplayedClient
) -> None:
    for name in ("client_id", "client_secret"):
        assert re.fullmatch(r"[A-Za-z0-9_-]+", confidential.registered[name])
    assert confidential.connect(browser)["token_type"] == "Bearer"


@pytest.mark.requirement("clients-invalid-client")
def test_client_that_was_deleted_is_told_to_register_again(browser: Browser, public: ReplayedClient) -> None:
    tokens = public.connect(browser)
    delete_client(_stored(public))
    assert json_of(public.refresh(tokens), 401)["error"] == "invalid_client"


@pytest.mark.requirement("clients-invalid-grant")
@pytest.mark.parametrize("token", ["dead", "mcpr_" + "A" * 76])
def test_refresh_token_that_is_no_good_is_told_to_log_in_again(public: ReplayedClient, token: str) -> None:
    assert json_of(public.refresh({"refresh_token": token}), 400)["error"] == "invalid_grant"


@pytest.mark.requirement("clients-invalid-grant")
def test_code_that_was_used_is_told_to_log_in_again(browser: Browser, public: ReplayedClient) -> None:
    code = public.log_in(browser)["code"]
    public.exchange(code)
    assert json_of(public.exchange(code), 400)["error"] == "invalid_grant"


@pytest.mark.requirement("clients-preflight")
@pytest.mark.parametrize("path", [AUTHORIZATION_SERVER, RESOURCE_METADATA, "/register", "/token", "/mcp"])
def test_preflight_allows_every_header_that_it_sends(client: Browser, path: str) -> None:
    headers = {
        "Origin": "http://localhost:6274",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": PREFLIGHT,
    }
    answer = client.options(path, headers=headers)
    allowed = answer["Access-Control-Allow-Headers"].lower().replace(" ", "").split(",")
    assert answer.status_code < 300
    assert set(PREFLIGHT.split(",")) <= set(allowed)


@pytest.mark.requirement("clients-typescript-issuer")
def test_issuer_is_the_same_string_with_the_same_slash_everywhere(browser: Browser, public: ReplayedClient) -> None:
    advertised = browser.get(RESOURCE_METADATA).json()["authorization_servers"]
    assert advertised == [ISSUER]
    assert browser.get(AUTHORIZATION_SERVER).json()["issuer"] == ISSUER
    assert browser.get(OPENID).json()["issuer"] == ISSUER
    assert public.log_in(browser)["iss"] == ISSUER


@pytest.mark.requirement("clients-iss")
def test_iss_stands_on_errors_too_because_it_is_read_before_them(browser: Browser, public: ReplayedClient) -> None:
    denied = answer_of(press(browser, public.ask(browser), "deny"), REDIRECT_URI)
    assert (denied["error"], denied["iss"], denied["state"]) == ("access_denied", ISSUER, public.state)


@pytest.mark.requirement("clients-offline-access")
def test_refresh_token_needs_no_offline_access_and_asking_for_it_is_no_error(
    browser: Browser, public: ReplayedClient
) -> None:
    public.scope = "mcp offline_access"
    tokens = json_of(public.exchange(public.log_in(browser, prompt="consent")["code"]), 200)
    assert tokens["refresh_token"]
    assert tokens["scope"] == "mcp"


def _stored(client: ReplayedClient) -> AbstractClient:
    stored = find_client(client.client_id)
    assert stored is not None
    return stored
