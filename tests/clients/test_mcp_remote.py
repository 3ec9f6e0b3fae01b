"""mcp-remote 0.15.1, which many hosts put between themselves and us."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from tests.clients.replay import ReplayedClient, register
from tests.server.authorizations import json_of

AUTHORIZATION_SERVER = "/.well-known/oauth-authorization-server"
FALLBACK_SCOPE = "openid email profile"
PREFERENCE = ("none", "client_secret_post", "client_secret_basic")

pytestmark = pytest.mark.usefixtures("signing_key")


def document(method: str = "none", scope: str = "mcp") -> dict[str, object]:
    return {
        "redirect_uris": ["http://localhost:3335/oauth/callback"],
        "token_endpoint_auth_method": method,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "client_name": "MCP CLI Proxy",
        "client_uri": "https://github.com/modelcontextprotocol/mcp-cli",
        "software_id": "2e6dc280-f3c3-4e01-99a7-8181dbd1d23d",
        "software_version": "0.15.1",
        "scope": scope,
    }


@pytest.fixture
def remote(db: None) -> ReplayedClient:
    return ReplayedClient(register(document()), "http://localhost:3335/oauth/callback")


@pytest.mark.requirement("clients-mcp-remote-port")
def test_port_moves_between_runs_and_the_registration_stays(browser: Browser, remote: ReplayedClient) -> None:
    for port in (3335, 3336, 49150):
        remote.redirect_uri = f"http://localhost:{port}/oauth/callback"
        remote.connect(browser)


@pytest.mark.requirement("clients-mcp-remote-method")
def test_first_method_that_it_picks_is_the_one_without_a_secret(client: Browser) -> None:
    offered = client.get(AUTHORIZATION_SERVER).json()["token_endpoint_auth_methods_supported"]
    assert next(method for method in PREFERENCE if method in offered) == "none" == offered[0]


@pytest.mark.requirement("clients-mcp-remote-scope")
def test_fallback_scope_is_granted_and_what_the_resource_needs_is_added(db: None, browser: Browser) -> None:
    registered = register(document(scope=FALLBACK_SCOPE))
    assert registered["scope"] == FALLBACK_SCOPE
    remote = ReplayedClient(registered, "http://localhost:3335/oauth/callback", scope=FALLBACK_SCOPE)
    tokens = remote.connect(browser)
    assert set(tokens["scope"].split()) == {"openid", "email", "profile", "mcp"}


@pytest.mark.requirement("clients-mcp-remote-scope")
def test_scope_that_was_granted_may_be_repeated_at_each_refresh(browser: Browser, remote: ReplayedClient) -> None:
    tokens = remote.connect(browser)
    assert json_of(remote.refresh(tokens, scope=tokens["scope"]), 200)["scope"] == tokens["scope"]
