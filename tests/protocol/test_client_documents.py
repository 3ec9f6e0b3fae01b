"""Client ID Metadata Documents: what is taken from one, what is passed over, and what refuses it."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_oidc.errors import InvalidClientMetadata, InvalidRedirectUri
from mcp_oidc.protocol.client_documents import ClientDocument, check_document_url, parse_client_document
from mcp_oidc.protocol.jwks import generate_jwk
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE
from tests.server.documents import (
    APP,
    APP_REDIRECT,
    CHATGPT,
    CHATGPT_DOCUMENT,
    CHATGPT_KEYS,
    CLAUDE_CODE,
    CLAUDE_CODE_DOCUMENT,
    make_document,
)

KEY = generate_jwk("ES256")
JWKS = {"keys": [KEY.public]}


def parse(**changes: Any) -> ClientDocument:
    return parse_client_document(make_document(**changes), url=APP, private_schemes=("cursor",))


@pytest.mark.requirement("client-document-chatgpt")
def test_document_of_chatgpt_is_accepted_as_it_stands() -> None:
    document = parse_client_document(CHATGPT_DOCUMENT, url=CHATGPT, private_schemes=())
    assert document.auth_methods == ("private_key_jwt", "none")
    assert document.as_dict()["jwks_uri"] == CHATGPT_KEYS
    assert (document.host, document.name) == ("chatgpt.com", "ChatGPT")


@pytest.mark.requirement("client-document-claude-code")
def test_document_of_claude_code_is_accepted_as_it_stands() -> None:
    document = parse_client_document(CLAUDE_CODE_DOCUMENT, url=CLAUDE_CODE, private_schemes=())
    assert document.auth_methods == ("none",)
    assert document.redirect_uris == ("http://localhost/callback", "http://127.0.0.1/callback")


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (APP, "app.example"),
        ("https://App.Example/client", "app.example"),
        ("https://app.example:8443/client?version=1", "app.example"),
        ("https://app.example/", "app.example"),
    ],
)
def test_https_url_with_a_path_may_be_a_client_id(url: str, host: str) -> None:
    assert check_document_url(url) == host


@pytest.mark.requirement("client-document-url")
@pytest.mark.parametrize(
    "url",
    [
        "",
        "app",
        "http://app.example/client",
        "HTTPS://app.example/client",
        "https://app.example",
        "https:///client",
        "https://app.example/a/../client",
        "https://app.example/./client",
        "https://app.example/%2e%2E/client",
        "https://app.example/..",
        "https://app.example./client",
        "https://app.example/client#part",
        "https://user@app.example/client",
        "https://user:password@app.example/client",
        "https://app.example:0/client",
        "https://app.example:99999/client",
        "https://app.example/cl ient",
        "https://app.example/client\0",
        "https://app.example\\@evil.example/client",
        "https://äpp.example/client",
        f"https://app.example/{'a' * 255}",
    ],
)
def test_other_urls_are_no_client_ids(url: str) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        check_document_url(url)


@pytest.mark.requirement("client-document-own-url")
@pytest.mark.parametrize("client_id", [None, "", f"{APP}/", APP.upper(), "https://evil.example/client.json", 1, [APP]])
def test_document_must_name_the_url_that_it_is_at(client_id: Any) -> None:
    with pytest.raises(InvalidClientMetadata, match="client_id"):
        parse(client_id=client_id)


@pytest.mark.requirement("client-document-no-secret")
@pytest.mark.parametrize("name", ["client_secret", "client_secret_expires_at"])
@pytest.mark.parametrize("value", ["hunter2", "", 0])
def test_secret_in_a_public_document_refuses_it(name: str, value: object) -> None:
    with pytest.raises(InvalidClientMetadata, match="client_secret"):
        parse(**{name: value})


@pytest.mark.requirement("client-document-redirects")
def test_redirect_uris_that_cannot_be_used_are_passed_over() -> None:
    bad = ["javascript:alert(1)", "http://app.example/cb", "unknown-app:/cb", "https://app.example/*", 1, None, {}, ""]
    document = parse(redirect_uris=[*bad, APP_REDIRECT, "cursor://app/cb", *bad])
    assert document.redirect_uris == (APP_REDIRECT, "cursor://app/cb")


@pytest.mark.requirement("client-document-redirects")
@pytest.mark.parametrize("uris", [None, [], {}, APP_REDIRECT, ["javascript:alert(1)"], [["https://app.example/cb"]]])
def test_document_without_any_usable_redirect_uri_is_refused(uris: Any) -> None:
    with pytest.raises(InvalidRedirectUri):
        parse(redirect_uris=uris)


METHODS: list[tuple[object, object, bool, tuple[str, ...]]] = [
    (None, None, False, ("none",)),
    ("none", None, False, ("none",)),
    ("none", None, True, ("none",)),
    ("private_key_jwt", None, True, ("private_key_jwt",)),
    ("private_key_jwt", ["none", "private_key_jwt"], True, ("private_key_jwt", "none")),
    ("none", ["private_key_jwt"], True, ("none", "private_key_jwt")),
    # Without a key to verify with, what is left is the other.
    ("private_key_jwt", ["none"], False, ("none",)),
    (None, ["private_key_jwt", "none"], True, ("private_key_jwt", "none")),
    ("tls_client_auth", ["none"], False, ("none",)),
    ("none", ["client_secret_basic", 1, None], True, ("none",)),
    ("none", "none", False, ("none",)),
]


@pytest.mark.requirement("client-document-methods")
@pytest.mark.parametrize(("preferred", "listed", "has_keys", "expected"), METHODS)
def test_client_may_use_what_its_document_prefers_and_what_it_lists(
    preferred: object, listed: object, has_keys: bool, expected: tuple[str, ...]
) -> None:
    document = parse(
        token_endpoint_auth_method=preferred,
        token_endpoint_auth_methods_supported=listed,
        jwks=JWKS if has_keys else None,
    )
    assert document.auth_methods == expected
    assert document.auth_method == expected[0]


@pytest.mark.requirement("client-document-methods")
@pytest.mark.parametrize(
    "members",
    [
        {"token_endpoint_auth_method": "client_secret_basic"},
        {
            "token_endpoint_auth_method": "client_secret_post",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        },
        {"token_endpoint_auth_method": "client_secret_jwt", "jwks": JWKS},
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": []}},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [KEY.private]}},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": "https://app.example/jwks"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://app.example/jwks"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "javascript:alert(1)"},
    ],
    ids=lambda members: " ".join(str(value)[:20] for value in members.values()),
)
def test_document_that_leaves_no_way_to_authenticate_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidClientMetadata, match="token_endpoint_auth_method"):
        parse(**members)


def test_keys_at_an_address_come_before_those_in_the_document() -> None:
    document = parse(jwks=JWKS, jwks_uri="https://app.example/jwks").as_dict()
    assert document["jwks_uri"] == "https://app.example/jwks"
    assert "jwks" not in document


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("client_uri", "javascript:alert(1)"),
        ("logo_uri", "data:image/png;base64,AAAA"),
        ("contacts", "me@app.example"),
        ("scope", ["mcp"]),
        ("software_id", 7),
        ("application_type", "service"),
        ("client_name", {"en": "App"}),
        ("client_name#de", "App"),
        ("unknown", {"a": 1}),
    ],
)
def test_members_that_only_describe_are_passed_over_where_they_are_wrong(name: str, value: object) -> None:
    kept = parse(**{"tos_uri": "https://app.example/tos", name: value}).as_dict()
    assert kept.get(name) in (None, "web")
    assert kept["tos_uri"] == "https://app.example/tos"


@pytest.mark.requirement("exchange-operator-only")
def test_document_cannot_ask_for_token_exchange() -> None:
    assert parse(grant_types=["authorization_code", TOKEN_EXCHANGE]).grant_types == ("authorization_code",)


@pytest.mark.parametrize(
    "members", [{"grant_types": ["client_credentials"]}, {"grant_types": "all"}, {"response_types": ["token"]}]
)
def test_document_for_other_flows_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidClientMetadata):
        parse(**members)


def test_digest_changes_with_what_counts() -> None:
    same = {parse().digest, parse(unknown=1).digest}
    others = {parse(client_name="Other").digest, parse(token_endpoint_auth_method="private_key_jwt", jwks=JWKS).digest}
    assert len(same) == 1
    assert len(same | others) == 3
