"""Metadata (RFC 8414, OpenID Connect Discovery) and keys (RFC 7517), over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, override_settings

from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE
from tests.factories import ISSUER
from tests.server.authorizations import json_of

OAUTH = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
DOCUMENTS = [OAUTH, OPENID]
ALL = [*DOCUMENTS, "/jwks"]

pytestmark = pytest.mark.usefixtures("signing_key")


def configured(**members: Any) -> Any:
    return override_settings(MCP_OIDC={"ISSUER": ISSUER, **members})


@pytest.mark.requirement("metadata-agrees")
def test_both_documents_say_the_same(client: Client) -> None:
    assert client.get(OAUTH).json() == client.get(OPENID).json()


@pytest.mark.requirement("metadata-issuer")
@pytest.mark.parametrize("path", DOCUMENTS)
def test_issuer_is_the_one_that_is_configured(client: Client, path: str) -> None:
    assert client.get(path).json()["issuer"] == ISSUER


def test_what_rfc_8414_and_openid_discovery_require_is_there(client: Client) -> None:
    document = client.get(OPENID).json()
    assert document["response_types_supported"] == ["code"]
    assert document["response_modes_supported"] == ["query"]
    assert document["grant_types_supported"] == ["authorization_code", "refresh_token", TOKEN_EXCHANGE]
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["subject_types_supported"] == ["public"]
    assert document["id_token_signing_alg_values_supported"] == ["RS256"]
    assert document["authorization_response_iss_parameter_supported"] is True
    assert document["request_uri_parameter_supported"] is False


def test_clients_without_a_secret_are_offered_first(client: Client) -> None:
    # mcp-remote takes the first that it knows, and Claude Code uses CIMD only where `none` is listed.
    assert client.get(OAUTH).json()["token_endpoint_auth_methods_supported"][0] == "none"


def test_introspection_is_for_clients_with_a_secret(client: Client) -> None:
    methods = client.get(OAUTH).json()["introspection_endpoint_auth_methods_supported"]
    assert {"client_secret_basic", "client_secret_post"} <= set(methods)
    assert "none" not in methods


def test_scopes_of_all_resources_and_their_tools_are_listed_once(client: Client) -> None:
    resources = {"/mcp": {"SCOPES": ["mcp"], "TOOL_SCOPES": {"pay": ["money"]}}, "/other": {"SCOPES": ["other"]}}
    with configured(RESOURCES=resources):
        document = client.get(OAUTH).json()
    assert document["scopes_supported"] == ["openid", "profile", "email", "mcp", "money", "other"]
    assert document["protected_resources"] == [f"{ISSUER}/mcp", f"{ISSUER}/other"]


# What an endpoint says to a bare GET. A path that nobody serves would be a 404.
ENDPOINTS = {
    "authorization_endpoint": 400,
    "token_endpoint": 405,
    "revocation_endpoint": 405,
    "introspection_endpoint": 405,
    "registration_endpoint": 405,
    "userinfo_endpoint": 401,
    "jwks_uri": 200,
}


def test_every_endpoint_that_is_listed_answers(client: Client) -> None:
    document = client.get(OAUTH).json()
    listed = {name for name in document if name.endswith(("_endpoint", "_uri"))}
    assert listed == set(ENDPOINTS)
    for name, status in ENDPOINTS.items():
        assert document[name].startswith(f"{ISSUER}/")
        assert client.get(document[name].removeprefix(ISSUER)).status_code == status, name


@pytest.mark.parametrize("registration", ["closed", "cimd"])
def test_registration_is_not_listed_where_it_is_not_open(client: Client, registration: str) -> None:
    with configured(REGISTRATION=registration):
        assert "registration_endpoint" not in client.get(OAUTH).json()


def test_algorithms_are_those_of_the_keys(client: Client) -> None:
    save_key(generate_jwk("ES256"))
    assert client.get(OPENID).json()["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


@pytest.mark.requirement("no-null")
@pytest.mark.parametrize("path", [*ALL, "/.well-known/oauth-protected-resource/mcp"])
def test_no_document_holds_a_null_or_an_empty_string(client: Client, path: str) -> None:
    text = client.get(path).content.decode()
    assert "null" not in text
    assert '""' not in text


@pytest.mark.requirement("metadata-issuer")
@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Prefix": "/evil", "X-Forwarded-Port": "444"},
        {"Forwarded": "host=evil.example;proto=https"},
    ],
)
def test_headers_do_not_decide_what_a_document_says(client: Client, path: str, headers: dict[str, str]) -> None:
    assert client.get(path, headers=headers).content == client.get(path).content


def test_without_an_issuer_it_is_derived_from_the_request_while_debugging(client: Client) -> None:
    with override_settings(MCP_OIDC={}, DEBUG=True):
        assert client.get(OAUTH).json()["issuer"] == "http://testserver"
        spoofed = client.get(OAUTH, headers={"X-Forwarded-Host": "evil.example"})
    assert spoofed.json()["issuer"] == "http://testserver"


def test_host_that_is_not_allowed_is_a_bad_request_while_debugging(client: Client) -> None:
    only_ours = ["mcp_oidc.server.cors.CorsMiddleware"]
    with override_settings(MCP_OIDC={}, DEBUG=True, MIDDLEWARE=only_ours, ALLOWED_HOSTS=["testserver"]):
        answer = client.get(OAUTH, headers={"Host": "evil.example"})
    assert json_of(answer, 400)["error"] == "invalid_request"


@pytest.mark.requirement("metadata-own-path-only")
@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("suffix", ["/mcp", "/auth", "//", "/%2e%2e", "/%00", "/%ff", "/" + "a" * 3000])
def test_path_of_another_issuer_is_not_found(client: Client, document: str, suffix: str) -> None:
    answer = client.get(f"{document}{suffix}")
    assert json_of(answer, 404)["error"] == "not_found"


@pytest.mark.requirement("jwks-public-only")
def test_keys_have_no_private_member(client: Client, signing_key: SigningJwk) -> None:
    save_key(generate_jwk("ES256"))
    save_key(generate_jwk("EdDSA"))
    keys = client.get("/jwks").json()["keys"]
    assert len(keys) == 3
    assert {member for key in keys for member in key} <= {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}
    assert {key["kid"] for key in keys} >= {signing_key.kid}


def test_first_key_is_made_where_there_is_none(client: Client, db: None) -> None:
    first = client.get("/jwks").json()
    assert client.get("/jwks").json() == first
    assert [key["alg"] for key in first["keys"]] == ["RS256"]


def test_keys_of_the_settings_are_published_as_they_are(client: Client) -> None:
    key = generate_jwk("ES256")
    with configured(JWKS=json.dumps({"keys": [{**key.private, "kid": "my key"}]})):
        published = client.get("/jwks").json()
    assert published == {"keys": [{**key.public, "kid": "my key"}]}


@pytest.mark.parametrize("path", ALL)
def test_documents_may_be_cached_for_a_short_time_and_are_the_same_for_everybody(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "public, max-age=300"
    assert "Cookie" not in answer["Vary"]
    assert not answer.cookies


@pytest.mark.parametrize("path", ALL)
def test_unchanged_document_is_not_sent_again_where_the_project_wants_etags(client: Client, path: str) -> None:
    with override_settings(MIDDLEWARE=["django.middleware.http.ConditionalGetMiddleware"]):
        etag = client.get(path)["ETag"]
        assert client.get(path, headers={"If-None-Match": etag}).status_code == 304


@pytest.mark.parametrize("path", ALL)
def test_head_is_answered_without_a_body(client: Client, path: str) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", ALL)
def test_options_names_the_methods(client: Client, path: str) -> None:
    answer = client.options(path)
    assert (answer.status_code, answer["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_other_methods_are_refused_in_json_with_those_that_are_not(client: Client, path: str, method: str) -> None:
    answer = client.generic(method, path)
    assert json_of(answer, 405)["error"] == "invalid_request"
    assert answer["Allow"] == "GET, HEAD, OPTIONS"
