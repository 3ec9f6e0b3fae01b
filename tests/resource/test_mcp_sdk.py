"""Servers of the official `mcp` SDK, driven by its own client, under uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from mcp_oidc.core.audit import NOBODY
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.errors import UpstreamUnavailable
from mcp_oidc.models import Identity
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.idp_tokens import aget_idp_tokens, get_idp_tokens
from mcp_oidc.resource.mcp_sdk import TokenVerifier, auth_settings, protect, tool_errors, transport_security
from tests.factories import ISSUER
from tests.resource.doc_pages import run_block
from tests.resource.forgery import claims_of
from tests.resource.live import Live, live
from tests.resource.sdk_client import INITIALIZE, LIST_TOOLS, MODES, call_tool, post
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

CALL_WHOAMI = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}


def tools() -> MCPServer:
    server = MCPServer("tests")

    @server.tool()
    async def whoami() -> str:
        principal = get_principal()
        sdk_token = get_access_token()
        assert sdk_token is not None
        assert (sdk_token.subject, sdk_token.client_id) == (principal.subject, principal.client_id)
        return principal.subject

    @server.tool()
    def whoami_in_a_thread() -> str:
        return get_principal().subject

    @server.tool()
    async def ask_idp() -> str:
        with tool_errors():
            return (await aget_idp_tokens()).access_token

    @server.tool()
    def ask_idp_in_a_thread() -> str:
        return get_idp_tokens().access_token

    @server.tool()
    def ask_idp_by_access_token() -> str:
        return get_idp_tokens(get_access_token()).access_token

    return server


@pytest.fixture
def server(issue: Issue) -> Iterator[Live]:
    """The recommended set-up, with sessions."""
    with live(issue, lambda: protect(tools().streamable_http_app(transport_security=transport_security()))) as up:
        yield up


@pytest.fixture
def bobs_token(server: Live) -> str:
    bob = get_user_model().objects.create_user("bob")
    return server.token(holder=local_identity(bob))


@pytest.mark.parametrize(("mode", "options"), MODES.values(), ids=MODES.keys())
def test_tools_know_who_calls(mode: str, options: dict[str, Any], issue: Issue) -> None:
    def app() -> Any:
        return protect(tools().streamable_http_app(transport_security=transport_security(), **options))

    with live(issue, app) as server:
        token = server.token()
        for tool in ("whoami", "whoami_in_a_thread"):
            result = asyncio.run(call_tool(server.resource, token, tool, mode=mode))
            assert not result.is_error
            assert result.content[0].text == claims_of(token)["sub"]


def test_tools_have_the_idp_tokens_of_their_user(server: Live, identity: Identity) -> None:
    keep_tokens(identity, IdpTokens("a token of alice's", expires_at=None))
    for tool in ("ask_idp", "ask_idp_in_a_thread", "ask_idp_by_access_token"):
        result = asyncio.run(call_tool(server.resource, server.token(), tool))
        assert result.content[0].text == "a token of alice's"


def test_tool_without_idp_tokens_can_tell_the_model_why(server: Live) -> None:
    result = asyncio.run(call_tool(server.resource, server.token(), "ask_idp"))
    assert result.is_error
    assert "The user has to log in again" in result.content[0].text


def test_outage_of_the_idp_can_be_told_to_the_model() -> None:
    with pytest.raises(ToolError, match="does not answer"), tool_errors():
        raise UpstreamUnavailable("no answer")


@pytest.mark.requirement("resource-sessions-have-an-owner")
def test_session_of_one_user_is_closed_to_another(server: Live, bobs_token: str) -> None:
    alice = server.token()
    opened = post(server, alice, INITIALIZE)
    session = opened.headers["mcp-session-id"]
    assert opened.status_code == 200
    assert post(server, bobs_token, LIST_TOOLS, session=session).status_code == 404
    assert post(server, alice, LIST_TOOLS, session=session).status_code == 200


def test_session_goes_on_with_the_tokens_of_a_later_connection(server: Live) -> None:
    session = post(server, server.token(), INITIALIZE).headers["mcp-session-id"]
    assert post(server, server.token(), LIST_TOOLS, session=session).status_code == 200


def test_revocation_bites_in_the_middle_of_a_session(server: Live) -> None:
    token = server.token()
    session = post(server, token, INITIALIZE).headers["mcp-session-id"]
    assert revoke_connection(claims_of(token)["sid"], "test", caller=NOBODY)
    for method in ("POST", "GET", "DELETE"):
        answer = httpx2.request(
            method, server.resource, headers={"Authorization": f"Bearer {token}", "Mcp-Session-Id": session}
        )
        assert (method, answer.status_code) == (method, 401)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_challenge_names_the_metadata_and_the_scope(server: Live, method: str) -> None:
    answer = httpx2.request(method, server.resource)
    assert answer.status_code == 401
    metadata = f"{server.url}/.well-known/oauth-protected-resource/mcp"
    assert answer.headers["www-authenticate"] == f'Bearer scope="mcp", resource_metadata="{metadata}"'


def test_real_host_is_answered_and_others_are_misdirected(server: Live) -> None:
    assert post(server, server.token(), INITIALIZE).status_code == 200
    assert post(server, server.token(), INITIALIZE, host="evil.example").status_code == 421


def test_inspector_in_a_browser_gets_through_both_lists_of_origins(server: Live) -> None:
    answer = post(server, server.token(), INITIALIZE, origin="http://localhost:6274")
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "http://localhost:6274"
    assert "Mcp-Session-Id" in answer.headers["access-control-expose-headers"]


def test_tool_with_scopes_of_its_own_is_called_with_them_only(issue: Issue) -> None:
    resources = {"/mcp": {"TOOL_SCOPES": {"whoami": ["notes:write"]}}}

    def app() -> Any:
        return protect(tools().streamable_http_app(transport_security=transport_security()))

    with live(issue, app, RESOURCES=resources) as server:
        refused = post(server, server.token(), CALL_WHOAMI)
        result = asyncio.run(call_tool(server.resource, server.token(scope="mcp notes:write"), "whoami"))
    assert refused.status_code == 403
    assert 'scope="mcp notes:write"' in refused.headers["www-authenticate"]
    assert not result.is_error


@pytest.mark.parametrize("mode", ["sessions", "2026-07-28"])
def test_client_without_the_scopes_of_one_tool_calls_the_others(mode: str, issue: Issue) -> None:
    spoken, options = MODES[mode]
    resources = {"/mcp": {"TOOL_SCOPES": {"add_note": ["notes:write"]}, "METHOD_SCOPES": {"prompts/get": ["audit"]}}}

    def app() -> Any:
        return protect(tools().streamable_http_app(transport_security=transport_security(), **options))

    with live(issue, app, RESOURCES=resources) as server:
        result = asyncio.run(call_tool(server.resource, server.token(), "whoami", mode=spoken))
    assert not result.is_error


class TestMiddlewareOfTheSdk:
    """`TokenVerifier` and `auth_settings`, without `protect`."""

    @pytest.fixture
    def server(self, issue: Issue) -> Iterator[Live]:
        def app() -> Any:
            server = MCPServer("tests", auth=auth_settings(), token_verifier=TokenVerifier())

            @server.tool()
            async def whoami() -> str:
                token = get_access_token()
                assert token is not None
                return str(token.subject)

            return server.streamable_http_app(transport_security=transport_security())

        with live(issue, app, RESOURCES={"/mcp": {}, "/mcp/plain": {}}) as up:
            yield up

    def test_tool_knows_who_calls(self, server: Live) -> None:
        token = server.token()
        result = asyncio.run(call_tool(server.resource, token, "whoami"))
        assert result.content[0].text == claims_of(token)["sub"]

    @pytest.mark.requirement("resource-implied-scopes")
    def test_scopes_that_the_sdk_asks_for_may_be_implied(self, access_token: str, settings: LazySettings) -> None:
        settings.MCP_OIDC = {**settings.MCP_OIDC, "IMPLIED_SCOPES": {"mcp": ["notes:write"]}}
        described = async_to_sync(TokenVerifier().verify_token)(access_token)
        assert described is not None
        assert described.scopes == ["openid", "mcp", "notes:write"]
        assert described.principal.scopes == ("openid", "mcp")

    def test_token_of_another_resource_is_refused(self, server: Live, issue: Issue) -> None:
        plain = issue(resource=f"{server.resource}/plain", issuer=server.url).access_token
        assert post(server, plain, INITIALIZE).status_code == 401

    def test_scope_of_the_resource_is_needed(self, server: Live) -> None:
        assert post(server, server.token(scope="openid"), INITIALIZE).status_code == 403

    def test_its_metadata_says_the_same_as_ours(self, server: Live) -> None:
        theirs = httpx2.get(f"{server.url}/.well-known/oauth-protected-resource/mcp").json()
        assert theirs["resource"] == server.resource
        assert theirs["authorization_servers"] == [server.url]
        assert theirs["scopes_supported"] == ["mcp"]


def test_example_of_the_documentation_serves_its_tool(issue: Issue) -> None:
    with live(issue, lambda: run_block("protect/mcp-sdk.md", 0)["app"]) as server:
        assert post(server, "", INITIALIZE).status_code == 401
        assert asyncio.run(call_tool(server.resource, server.token(), "whoami")).content[0].text == "alice"


def test_verifier_fills_in_everything_that_the_sdk_asks_for(access_token: str) -> None:
    token = async_to_sync(TokenVerifier().verify_token)(access_token)
    claims = claims_of(access_token)
    assert token is not None
    assert token.token == access_token
    assert token.client_id == claims["client_id"]
    assert token.scopes == ["openid", "mcp"]
    assert token.expires_at == claims["exp"]
    assert token.resource == f"{ISSUER}/mcp"
    assert token.subject == claims["sub"]
    assert token.claims is not None
    assert token.claims["iss"] == ISSUER


def test_description_of_a_token_can_be_dumped_without_the_principal(access_token: str) -> None:
    token = async_to_sync(TokenVerifier().verify_token)(access_token)
    assert token is not None
    assert "principal" not in token.model_dump()
    assert "principal" not in repr(token)


@pytest.mark.parametrize("issuer", ["https://mcp.example.com", "https://example.com/auth", "http://localhost:8000"])
@pytest.mark.parametrize("key", ["/mcp", "https://tools.example.com", "https://tools.example.com/a/b/"])
def test_settings_of_the_sdk_hold_the_very_strings_of_ours(issuer: str, key: str) -> None:
    with override_settings(MCP_OIDC={"ISSUER": issuer, "RESOURCES": {key: {}}}):
        settings = auth_settings(key)
        origin = issuer.removesuffix("/auth")
    assert str(settings.issuer_url) == issuer
    assert str(settings.resource_server_url) == (f"{origin}{key}" if key.startswith("/") else key)
    assert settings.required_scopes == ["mcp"]
    assert settings.validate_token_resource is True


def test_url_that_the_sdk_would_write_differently_is_refused() -> None:
    with (
        override_settings(MCP_OIDC={"ISSUER": "https://MCP.example.com"}),
        pytest.raises(ImproperlyConfigured, match="Write it like that"),
    ):
        auth_settings()


def test_hosts_and_origins_come_from_the_settings() -> None:
    resources = {"https://tools.example.com:8443/mcp": {}}
    with override_settings(MCP_OIDC={"ISSUER": "https://MCP.example.com", "RESOURCES": resources}):
        security = transport_security(next(iter(resources)))
    assert security.enable_dns_rebinding_protection
    assert security.allowed_hosts == ["mcp.example.com", "tools.example.com:8443"]
    assert security.allowed_origins == [
        "http://localhost:6274",
        "https://mcp.example.com",
        "https://tools.example.com:8443",
    ]


def test_any_loopback_host_will_do_while_debugging_without_an_issuer() -> None:
    with override_settings(DEBUG=True, MCP_OIDC={}):
        security = transport_security()
    assert {"localhost", "localhost:*", "127.0.0.1:*", "[::1]:*"} <= set(security.allowed_hosts)
    assert {"http://localhost:*", "http://localhost:6274"} <= set(security.allowed_origins)


def test_issuer_is_needed_in_production() -> None:
    with override_settings(MCP_OIDC={}), pytest.raises(ImproperlyConfigured, match="ISSUER"):
        transport_security()
