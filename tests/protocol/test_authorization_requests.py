"""Authorization requests, parameter by parameter."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_oidc.errors import InvalidRequest, OAuthError, UnsupportedResponseType
from mcp_oidc.protocol.authorization_requests import (
    MAX_CLIENT_ID_LENGTH,
    MAX_NONCE_LENGTH,
    MAX_SCOPE_LENGTH,
    MAX_STATE_LENGTH,
    AuthorizationRequest,
    parse_request,
    parse_sender,
)

REDIRECT_URI = "https://client.example/cb"
VALID = {
    "response_type": "code",
    "client_id": "s6BhdRkqt3",
    "redirect_uri": REDIRECT_URI,
    "scope": "openid mcp",
    "state": "xyz",
    "resource": "https://mcp.example/mcp",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}


def parse(**changes: str | None) -> AuthorizationRequest:
    params = {name: value for name, value in {**VALID, **changes}.items() if value is not None}
    return parse_request(params, redirect_uri=REDIRECT_URI)


def test_request_is_read_into_types() -> None:
    assert parse(nonce="n-0S6_WzA2Mj", prompt="login consent", max_age="0") == AuthorizationRequest(
        client_id="s6BhdRkqt3",
        redirect_uri=REDIRECT_URI,
        redirect_uri_sent=True,
        state="xyz",
        scopes=("openid", "mcp"),
        resource="https://mcp.example/mcp",
        code_challenge=VALID["code_challenge"],
        nonce="n-0S6_WzA2Mj",
        prompt=frozenset({"login", "consent"}),
        max_age=0,
    )


def test_optional_parameters_may_be_left_out() -> None:
    request = parse(state=None, scope=None, resource=None)
    assert (request.state, request.scopes, request.resource, request.nonce) == (None, (), None, "")
    assert (request.prompt, request.max_age) == (frozenset(), None)


@pytest.mark.requirement("pkce-required")
@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge": None},
        {"code_challenge_method": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": "s256"},
        {"code_challenge": "too-short"},
        {"code_challenge": "x" * 200},
    ],
)
def test_request_without_pkce_s256_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"PKCE|code_challenge"):
        parse(**changes)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, InvalidRequest),
        ({"response_type": "token"}, UnsupportedResponseType),
        ({"response_type": "code id_token"}, UnsupportedResponseType),
        ({"response_mode": "fragment"}, InvalidRequest),
        ({"request": "eyJ"}, InvalidRequest),
        ({"request_uri": "https://client.example/request"}, InvalidRequest),
        ({"prompt": "none login"}, InvalidRequest),
        ({"max_age": "-1"}, InvalidRequest),
        ({"max_age": "1.5"}, InvalidRequest),
        ({"max_age": "9" * 10}, InvalidRequest),
        ({"max_age": "\u0661"}, InvalidRequest),
        ({"nonce": "n" * (MAX_NONCE_LENGTH + 1)}, InvalidRequest),
        ({"scope": "s" * (MAX_SCOPE_LENGTH + 1)}, InvalidRequest),
    ],
)
def test_wrong_parameter_is_refused(changes: dict[str, Any], error: type[OAuthError]) -> None:
    with pytest.raises(error):
        parse(**changes)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("none", {"none"}), ("create", set()), ("login create", {"login"}), ("select_account", {"select_account"})],
)
def test_prompt_that_is_unknown_asks_for_nothing(prompt: str, expected: set[str]) -> None:
    assert parse(prompt=prompt).prompt == expected


def test_response_mode_query_is_the_one_we_use() -> None:
    assert parse(response_mode="query").client_id == VALID["client_id"]


def test_sender_is_read_without_the_rest() -> None:
    sender = parse_sender({"client_id": "a", "state": "s" * MAX_STATE_LENGTH})
    assert (sender.client_id, sender.redirect_uri, len(sender.state or "")) == ("a", None, MAX_STATE_LENGTH)


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"client_id": ""},
        {"client_id": "c" * (MAX_CLIENT_ID_LENGTH + 1)},
        {"client_id": "a", "state": "s" * (MAX_STATE_LENGTH + 1)},
    ],
)
def test_sender_who_cannot_be_answered_is_refused(params: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        parse_sender(params)
