"""Client metadata: what is validated, kept and echoed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_oidc.errors import InvalidClientMetadata, InvalidRedirectUri
from mcp_oidc.protocol.client_metadata import (
    MAX_LIST,
    MAX_REDIRECT_URIS,
    MAX_TEXT,
    ClientMetadata,
    parse_client_metadata,
)
from mcp_oidc.protocol.uris import check_redirect_uri

VALID: dict[str, Any] = {"redirect_uris": ["https://client.example/cb"], "client_name": "Example"}


def parse(**changes: Any) -> ClientMetadata:
    return parse_client_metadata({**VALID, **changes}, private_schemes=("cursor",))


def test_least_registration_gets_the_defaults() -> None:
    assert parse().as_dict() == {
        "client_name": "Example",
        "redirect_uris": ["https://client.example/cb"],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "web",
    }


@pytest.mark.requirement("registration-echo")
def test_everything_that_was_registered_comes_back() -> None:
    document = {
        "redirect_uris": [
            "https://client.example/cb",
            "http://127.0.0.1/",
            "cursor://anysphere.cursor-mcp/oauth/callback",
        ],
        "token_endpoint_auth_method": "client_secret_basic",
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "application_type": "native",
        "client_name": "Example \u00e9",
        "scope": "openid mcp",
        "client_uri": "https://client.example",
        "logo_uri": "https://client.example/logo.png",
        "tos_uri": "https://client.example/tos",
        "policy_uri": "https://client.example/privacy",
        "contacts": ["ops@client.example"],
        "software_id": "4NRB1-0XZABZI9E6-5SM3R",
        "software_version": "1.2",
        "jwks_uri": "https://client.example/jwks",
    }
    assert parse(**document).as_dict() == document


@pytest.mark.requirement("no-null")
def test_null_and_empty_members_count_as_left_out() -> None:
    nulls = dict.fromkeys(("client_uri", "logo_uri", "contacts", "scope", "grant_types", "application_type"))
    empty = {"client_uri": "", "logo_uri": "", "tos_uri": "", "contacts": [], "software_id": ""}
    assert parse(**nulls).as_dict() == parse(**empty).as_dict() == parse().as_dict()


def test_unknown_members_are_neither_kept_nor_refused() -> None:
    assert parse(x={"y": []}, client_secret="chosen by the client", client_id="mine").as_dict() == parse().as_dict()


@pytest.mark.parametrize(
    "uris",
    [
        None,
        [],
        "https://client.example/cb",
        {"0": "https://client.example/cb"},
        [None],
        [1],
        ["https://client.example/cb", "javascript:alert(1)"],
        ["http://client.example/cb"],
        ["windsurf://cb"],
        [f"https://client.example/{number}" for number in range(MAX_REDIRECT_URIS + 1)],
    ],
)
@pytest.mark.requirement("one-bad-redirect-refuses-all")
def test_one_bad_redirect_uri_refuses_the_whole_registration(uris: Any) -> None:
    with pytest.raises(InvalidRedirectUri, match="redirect_uris"):
        parse(redirect_uris=uris)


def test_doubled_redirect_uri_is_kept_once() -> None:
    assert parse(redirect_uris=["http://localhost/", "http://localhost/"]).redirect_uris == ("http://localhost/",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("token_endpoint_auth_method", "private_key_jwt_"),
        ("token_endpoint_auth_method", ["none"]),
        ("token_endpoint_auth_method", {}),
        ("grant_types", ["refresh_token"]),
        ("grant_types", ["implicit"]),
        ("grant_types", "authorization_code"),
        ("grant_types", [["authorization_code"]]),
        ("response_types", ["token"]),
        ("response_types", "code"),
        ("application_type", "desktop"),
        ("application_type", ["web"]),
        ("client_name", 1),
        ("client_name", "n" * (MAX_TEXT + 1)),
        ("scope", ["mcp"]),
        ("scope", "s" * 2001),
        ("client_uri", "javascript:alert(1)"),
        ("client_uri", 0),
        ("logo_uri", "data:image/png;base64,AA"),
        ("tos_uri", "https://user@client.example/"),
        ("policy_uri", ["https://client.example/"]),
        ("contacts", "ops@client.example"),
        ("contacts", ["c"] * (MAX_LIST + 1)),
        ("contacts", ["c" * (MAX_TEXT + 1)]),
        ("contacts", [1]),
        ("software_id", {}),
        ("software_version", 2),
    ],
)
def test_wrong_member_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidClientMetadata, match=name):
        parse(**{name: value})


@pytest.mark.parametrize("order", [["authorization_code", "refresh_token"], ["refresh_token", "authorization_code"]])
def test_grant_types_come_in_any_order(order: list[str]) -> None:
    assert parse(grant_types=order).grant_types == ("authorization_code", "refresh_token")


def test_client_that_asks_for_more_is_told_what_it_got() -> None:
    metadata = parse(grant_types=["authorization_code", "implicit"], response_types=["code", "token"])
    assert metadata.as_dict()["grant_types"] == ["authorization_code"]
    assert metadata.as_dict()["response_types"] == ["code"]


def test_control_characters_in_text_become_spaces() -> None:
    assert parse(client_name="\x1b[31mEvil\r\nname\x9b").name == "[31mEvil  name"


@pytest.mark.parametrize(
    "change",
    [{"client_name": "Other"}, {"scope": "mcp"}, {"redirect_uris": ["https://client.example/"]}, {"contacts": ["a@b"]}],
)
def test_digest_tells_registrations_apart(change: dict[str, Any]) -> None:
    assert parse(**change).digest != parse().digest


def test_hosts_are_those_that_answers_go_to_by_https() -> None:
    uris = [
        "http://127.0.0.1/",
        "https://B.example/1",
        "cursor://c.example/",
        "https://a.example/",
        "https://b.example/",
    ]
    assert parse(redirect_uris=uris).hosts == ("b.example", "a.example")


def test_digest_is_the_same_whatever_the_order_of_members() -> None:
    backwards = dict(reversed(VALID.items()))
    assert parse_client_metadata(backwards, private_schemes=()).digest == parse().digest


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("https://client.example/"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
names = (
    "redirect_uris client_name scope grant_types response_types application_type contacts token_endpoint_auth_method "
    "client_uri logo_uri tos_uri policy_uri software_id software_version jwks jwks_uri other"
)


@given(st.dictionaries(st.sampled_from(names.split()), json_values))
def test_any_document_is_registered_or_refused(document: dict[str, Any]) -> None:
    try:
        metadata = parse_client_metadata({**VALID, **document}, private_schemes=())
    except (InvalidRedirectUri, InvalidClientMetadata):
        return
    assert None not in metadata.as_dict().values()
    assert all(check_redirect_uri(uri, ()) for uri in metadata.redirect_uris)
    again = parse_client_metadata(json.loads(json.dumps(metadata.as_dict())), private_schemes=())
    assert again == metadata
