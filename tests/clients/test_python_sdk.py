"""The Python SDK, `mcp` 2.3.0: what its OAuthClientProvider reads, compares and sends."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client as Browser

from tests.clients.replay import ReplayedClient, register
from tests.factories import ISSUER, RESOURCE

REDIRECT_URI = "http://127.0.0.1:33418/callback"
DOCUMENT = {
    "redirect_uris": [REDIRECT_URI],
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "application_type": "native",
    "client_name": "Journey",
    "scope": "mcp",
}
AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
RESOURCE_METADATA = "/.well-known/oauth-protected-resource/mcp"
REDIRECTS = (301, 302, 303, 307, 308)

pytestmark = pytest.mark.usefixtures("signing_key")


@pytest.fixture
def native(db: None) -> ReplayedClient:
    """As it registers: native, without a word about authentication. It uses the method that it is answered with."""
    return ReplayedClient(register(DOCUMENT), REDIRECT_URI)


@pytest.fixture
def confidential(db: None) -> ReplayedClient:
    """With a secret: percent-encoded in the header, and `client_id` in the body all the same."""
    registered = register({**DOCUMENT, "token_endpoint_auth_method": "client_secret_basic"})
    encoded = ":".join(quote(registered[name], safe="") for name in ("client_id", "client_secret"))
    header = "Basic " + base64.b64encode(encoded.encode()).decode()
    return ReplayedClient(registered, REDIRECT_URI, headers={"Authorization": header})


@pytest.mark.requirement("clients-python-resource")
def test_resource_is_the_url_that_was_pasted_and_its_server_the_issuer_of_the_metadata(client: Browser) -> None:
    document = client.get(RESOURCE_METADATA).json()
    assert document["resource"] == RESOURCE
    assert document["authorization_servers"][0] == client.get(AUTHORIZATION_SERVER).json()["issuer"] == ISSUER


@pytest.mark.requirement("clients-python-resource")
def test_resource_is_taken_as_the_metadata_has_it_and_becomes_the_audience(
    browser: Browser, native: ReplayedClient
) -> None:
    native.sent_resource = browser.get(RESOURCE_METADATA).json()["resource"]
    tokens = native.connect(browser)
    claims = _claims(tokens["access_token"])
    assert claims["aud"] == native.sent_resource


@pytest.mark.requirement("clients-python-discovery")
@pytest.mark.parametrize(
    "path",
    [
        "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
    ],
)
def test_places_that_are_tried_in_vain_are_not_found_and_no_failure(client: Browser, path: str) -> None:
    # A 5xx or 429 would end its discovery, and a redirect need not be followed.
    assert client.get(path).status_code == 404


@pytest.mark.requirement("clients-python-scopes")
def test_no_document_offers_offline_access_for_which_users_would_be_asked_each_time(client: Browser) -> None:
    document = client.get(AUTHORIZATION_SERVER).json()
    assert "offline_access" not in document["scopes_supported"]
    assert client.get(RESOURCE_METADATA).json()["scopes_supported"] == ["mcp"]


@pytest.mark.requirement("clients-python-registration")
def test_registration_without_a_method_is_answered_with_none_and_no_secret(native: ReplayedClient) -> None:
    assert native.registered["token_endpoint_auth_method"] == "none"
    assert "client_secret" not in native.registered
    assert native.registered["application_type"] == "native"


@pytest.mark.requirement("clients-python-registration")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_registration_with_a_method_is_answered_with_it_and_its_secret(db: None, method: str) -> None:
    registered = register({**DOCUMENT, "token_endpoint_auth_method": method})
    assert registered["token_endpoint_auth_method"] == method
    assert registered["client_secret"]


@pytest.mark.requirement("clients-python-basic")
def test_basic_credentials_are_encoded_and_the_id_stands_in_the_body_too(
    browser: Browser, confidential: ReplayedClient
) -> None:
    assert confidential.connect(browser)["token_type"] == "Bearer"


@pytest.mark.requirement("clients-iss")
def test_iss_that_is_advertised_is_in_the_answer_whatever_it_is(browser: Browser, native: ReplayedClient) -> None:
    document = browser.get(AUTHORIZATION_SERVER).json()
    assert document["authorization_response_iss_parameter_supported"] is True
    assert native.log_in(browser)["iss"] == document["issuer"]
    refused = native.ask(browser, prompt="none", scope="mcp notes:write")
    assert f"iss={quote(document['issuer'], safe='')}" in refused["Location"]


@pytest.mark.requirement("clients-python-refresh")
def test_refresh_is_answered_with_200_and_all_that_the_client_keeps(browser: Browser, native: ReplayedClient) -> None:
    tokens = native.connect(browser)
    assert set(tokens) >= {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert tokens["scope"] == "mcp"


@pytest.mark.requirement("clients-python-step-up")
def test_step_up_asks_for_the_union_of_scopes_once_and_gets_it(browser: Browser, native: ReplayedClient) -> None:
    native.connect(browser)
    native.scope = "mcp notes:write"
    assert set(native.connect(browser)["scope"].split()) == {"mcp", "notes:write"}


@pytest.mark.requirement("clients-no-redirects")
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ["/register", "/token", "/token/revocation", "/jwks", "/me", RESOURCE_METADATA])
def test_no_endpoint_redirects_to_another_spelling_of_itself(client: Browser, path: str, slash: str) -> None:
    # It follows a redirect only with the method kept, and a 301 turns a POST into a GET.
    for answer in (client.get(path + slash), client.post(path + slash)):
        assert answer.status_code not in REDIRECTS


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return claims
