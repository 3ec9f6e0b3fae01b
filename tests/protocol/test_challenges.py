"""The bearer token in a request, and the challenge of a refusal."""

from __future__ import annotations

import pytest

from mcp_oidc.errors import BearerError, InsufficientScope, InvalidRequest, InvalidToken, MissingToken
from mcp_oidc.protocol.challenges import bearer_token, challenge_for

METADATA = "https://mcp.example/.well-known/oauth-protected-resource/mcp"
REST = f'scope="mcp", resource_metadata="{METADATA}"'


@pytest.mark.parametrize("header", ["Bearer mF_9.B5f-4.1JqM", "bearer mF_9.B5f-4.1JqM", "BEARER  mF_9.B5f-4.1JqM "])
def test_token_is_that_of_rfc_6750_2_1(header: str) -> None:
    assert bearer_token(header) == "mF_9.B5f-4.1JqM"


@pytest.mark.parametrize("header", [None, "", "Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW", "Bearertoken", "DPoP abc"])
def test_request_without_a_bearer_token_has_none(header: str | None) -> None:
    with pytest.raises(MissingToken):
        bearer_token(header)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Bearer a b", "Bearer a,b", "Bearer a=b", 'Bearer "a"', "Bearer \u00e9", "Bearer a\n"],
)
def test_malformed_header_is_an_invalid_request(header: str) -> None:
    with pytest.raises(InvalidRequest):
        bearer_token(header)


@pytest.mark.requirement("challenge")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MissingToken("This resource needs one."), f"Bearer {REST}"),
        (
            InvalidToken("It has expired."),
            f'Bearer error="invalid_token", error_description="It has expired.", {REST}',
        ),
        (
            InsufficientScope("No.", scopes=("mcp", "notes:write")),
            f'Bearer error="insufficient_scope", error_description="No.", {REST.replace("mcp", "mcp notes:write", 1)}',
        ),
        (
            InvalidRequest("Malformed."),
            f'Bearer error="invalid_request", error_description="Malformed.", {REST}',
        ),
    ],
)
def test_challenge_says_what_is_wrong_and_where_to_go(error: BearerError | InvalidRequest, expected: str) -> None:
    assert challenge_for(error, metadata_url=METADATA, scopes=("mcp",)) == expected


def test_challenge_of_a_resource_without_scopes_names_none() -> None:
    assert challenge_for(MissingToken(), metadata_url=METADATA, scopes=()) == f'Bearer resource_metadata="{METADATA}"'


def test_nothing_breaks_out_of_a_quoted_value() -> None:
    challenge = challenge_for(InvalidToken('a"b\\c\r\nX: d\u00e9'), metadata_url=METADATA, scopes=())
    assert 'error_description="a?b?c??X: d?"' in challenge
