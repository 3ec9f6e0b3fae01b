"""Client authentication: both ways of Basic that clients have, and what must not be mixed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_oidc.errors import InvalidClient, InvalidRequest
from mcp_oidc.protocol.client_authentication import (
    MAX_CREDENTIAL_LENGTH,
    ClientCredentials,
    parse_client_credentials,
)


def basic(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(raw).decode()


@pytest.mark.requirement("client-basic")
def test_basic_is_that_of_rfc_6749_2_3_1() -> None:
    credentials = parse_client_credentials("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW", {})
    assert credentials == ClientCredentials("s6BhdRkqt3", "gX1fBat3bV", "client_secret_basic")


@pytest.mark.requirement("client-basic")
@pytest.mark.parametrize(
    ("text", "client_id", "secret"),
    [
        # The Python SDK encodes, the TypeScript SDK does not; with URL-safe values it makes no difference.
        ("aB-_9:xY-_8", "aB-_9", "xY-_8"),
        ("a%3Ab:c%2Bd+e", "a:b", "c+d e"),
        ("a:b:c", "a", "b:c"),
        ("a:", "a", ""),
        ("%C3%A9:s", "\u00e9", "s"),
    ],
)
def test_basic_credentials_are_form_decoded(text: str, client_id: str, secret: str) -> None:
    credentials = parse_client_credentials(basic(text), {})
    assert (credentials.client_id, credentials.secret) == (client_id, secret)


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "Basic"])
def test_name_of_the_scheme_has_no_case(scheme: str) -> None:
    assert parse_client_credentials(basic("a:b").replace("Basic", scheme), {}).client_id == "a"


def test_id_and_secret_may_stand_in_the_body() -> None:
    credentials = parse_client_credentials(None, {"client_id": "a", "client_secret": "b"})
    assert credentials == ClientCredentials("a", "b", "client_secret_post")


@pytest.mark.parametrize("authorization", [None, "", "Bearer abc"])
def test_public_client_gives_its_id_alone(authorization: str | None) -> None:
    assert parse_client_credentials(authorization, {"client_id": "a"}) == ClientCredentials("a", None, "none")


def test_id_may_be_repeated_in_the_body() -> None:
    assert parse_client_credentials(basic("a:b"), {"client_id": "a"}).secret == "b"


@pytest.mark.requirement("client-one-method")
@pytest.mark.parametrize(
    "params", [{"client_secret": "b"}, {"client_id": "a", "client_secret": "b"}, {"client_id": "c"}]
)
def test_two_ways_at_once_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_client_credentials(basic("a:b"), params)


@pytest.mark.parametrize(
    "authorization",
    [
        "Basic",
        "Basic ",
        "Basic !!!!",
        "Basic \u00e9",
        basic("no colon"),
        basic(":secret"),
        basic(b"\xff:secret"),
        basic("%ff:secret"),
        basic("a\0:secret"),
        basic("a%00:secret"),
        basic("a:secret%00"),
        basic("a:" + "s" * MAX_CREDENTIAL_LENGTH),
    ],
    ids=repr,
)
def test_malformed_basic_is_a_failed_authentication(authorization: str) -> None:
    with pytest.raises(InvalidClient):
        parse_client_credentials(authorization, {"client_id": "a"})


@pytest.mark.parametrize("params", [{}, {"client_secret": "b"}, {"client_id": "c" * (MAX_CREDENTIAL_LENGTH + 1)}])
def test_request_that_names_no_client_is_a_failed_authentication(params: dict[str, str]) -> None:
    with pytest.raises(InvalidClient):
        parse_client_credentials(None, params)


@given(st.text(max_size=60))
def test_any_header_is_read_or_refused(text: str) -> None:
    for authorization in (text, f"Basic {text}", basic(text.encode("utf-8", "replace"))):
        try:
            credentials = parse_client_credentials(authorization, {})
        except (InvalidClient, InvalidRequest):
            continue
        assert "\0" not in credentials.client_id


def test_secret_does_not_show_in_a_log() -> None:
    assert "gX1fBat3bV" not in repr(parse_client_credentials("Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW", {}))
