"""The issuer: one string, which no header decides in production."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.test import RequestFactory

from mcp_oidc.conf import configured_issuer, issuer_of

SPOOFED = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}


@pytest.mark.requirement("no-forwarded-headers")
@pytest.mark.parametrize("debug", [True, False])
def test_configured_issuer_stands_whatever_the_headers_say(
    rf: RequestFactory, settings: LazySettings, debug: bool
) -> None:
    settings.DEBUG = debug
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ISSUER": "https://mcp.example/tenant"}
    assert issuer_of(rf.get("/", headers=SPOOFED)) == configured_issuer() == "https://mcp.example/tenant"


def test_production_without_an_issuer_says_which_line_to_add(rf: RequestFactory, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ISSUER": ""}
    with pytest.raises(ImproperlyConfigured, match='MCP_OIDC\\["ISSUER"\\]'):
        issuer_of(rf.get("/"))


def test_issuer_follows_the_request_while_debugging(rf: RequestFactory, settings: LazySettings) -> None:
    settings.DEBUG = True
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ISSUER": None}
    assert issuer_of(rf.get("/x", headers={"host": "localhost:8000"})) == "http://localhost:8000"
    with pytest.raises(DisallowedHost):
        issuer_of(rf.get("/x", headers=SPOOFED))
