"""What answers say to browsers (Fetch, "CORS protocol")."""

from __future__ import annotations

import pytest

from mcp_oidc.protocol.cors import ANY_ORIGIN, response_headers

APP = "https://app.example"


def test_public_document_is_open_to_any_origin() -> None:
    for origin in (APP, "null", None):
        assert response_headers(origin, ANY_ORIGIN, is_preflight=False)["Access-Control-Allow-Origin"] == "*"


def test_allowed_origin_is_named() -> None:
    assert response_headers(APP, {APP}, is_preflight=False) == {
        "Access-Control-Allow-Origin": APP,
        "Access-Control-Expose-Headers": "WWW-Authenticate, Mcp-Session-Id",
    }


@pytest.mark.parametrize("origin", [None, "", "*", "null", "https://app.example.evil", "HTTPS://APP.EXAMPLE"])
@pytest.mark.parametrize("is_preflight", [True, False])
def test_other_origin_is_told_nothing(origin: str | None, is_preflight: bool) -> None:
    assert response_headers(origin, {APP}, is_preflight=is_preflight) == {}


def test_preflight_allows_what_mcp_clients_send() -> None:
    headers = response_headers(APP, {APP}, is_preflight=True)
    sent = {"authorization", "content-type", "mcp-protocol-version", "mcp-session-id", "mcp-method", "mcp-name"}
    assert sent <= {name.strip().lower() for name in headers["Access-Control-Allow-Headers"].split(",")}
    assert {"GET", "POST", "DELETE"} <= {name.strip() for name in headers["Access-Control-Allow-Methods"].split(",")}


def test_credentials_are_never_allowed() -> None:
    for allowed in (ANY_ORIGIN, {APP}):
        assert "Access-Control-Allow-Credentials" not in response_headers(APP, allowed, is_preflight=True)
