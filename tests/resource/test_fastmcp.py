"""Servers of FastMCP beside Django, driven by the official client, under uvicorn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings
from fastmcp import FastMCP
from fastmcp.server.auth import require_scopes
from fastmcp.server.dependencies import get_access_token
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import Identity
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.fastmcp import RemoteAuthProvider, protect
from mcp_oidc.resource.idp_tokens import aget_idp_tokens, get_idp_tokens
from tests.factories import ISSUER
from tests.resource.doc_pages import run_block
from tests.resource.forgery import claims_of
from tests.resource.live import Live, live
from tests.resource.sdk_client import INITIALIZE, LIST_TOOLS, MODES, call_tool, post
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

App = Callable[..., Any]
CALL_WHOAMI = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}
CALL_ADD_NOTE = {"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "add_note", "arguments": {}}}


def add_tools(server: FastMCP) -> FastMCP:
    @server.tool
    async def whoami() -> str:
        principal, token = get_principal(), get_access_token()
        assert token is not None
        assert (token.subject, token.client_id, token.resource) == (
            principal.subject,
            principal.client_id,
            principal.resource,
        )
        return principal.subject

    @server.tool
    def whoami_in_a_thread() -> str:
        return get_principal().subject

    @server.tool
    async def ask_idp() -> str:
        return (await aget_idp_tokens()).access_token

    @server.tool
    def ask_idp_by_access_token() -> str:
        return get_idp_tokens(get_access_token()).access_token

    @server.tool(auth=require_scopes("notes:write"))
    def add_note() -> str:
        return "added"

    @server.custom_route("/open", methods=["GET"])
    async def open_to_all(request: Request) -> PlainTextResponse:
        return PlainTextResponse("open")

    return server


def protected(**options: Any) -> Any:
    return protect(add_tools(FastMCP("tests")).http_app(**options))


def with_auth(**options: Any) -> Any:
    return add_tools(FastMCP("tests", auth=RemoteAuthProvider())).http_app(**options)


both_ways = pytest.mark.parametrize("make_app", [protected, with_auth])


@pytest.fixture
def server(make_app: App, issue: Issue) -> Iterator[Live]:
    with live(issue, make_app) as up:
        yield up


@pytest.mark.parametrize(
    ("mode", "options"),
    [pytest.param(*how, id=name, marks=[pytest.mark.long] * ("," in name)) for name, how in MODES.items()],
)
@both_ways
def test_tools_know_who_calls(make_app: App, mode: str, options: dict[str, Any], issue: Issue) -> None:
    with live(issue, lambda: make_app(**options)) as server:
        token = server.token()
        for tool in ("whoami", "whoami_in_a_thread"):
            result = asyncio.run(call_tool(server.resource, token, tool, mode=mode))
            assert not result.is_error
            assert result.content[0].text == claims_of(token)["sub"]


@both_ways
def test_tools_have_the_idp_tokens_of_their_user(server: Live, identity: Identity) -> None:
    keep_tokens(identity, IdpTokens("a token of alice's", expires_at=None))
    for tool in ("ask_idp", "ask_idp_by_access_token"):
        result = asyncio.run(call_tool(server.resource, server.token(), tool))
        assert result.content[0].text == "a token of alice's"


@both_ways
def test_scopes_that_fastmcp_asks_for_are_the_ones_of_the_token(server: Live) -> None:
    with_scope = server.token(scope="mcp notes:write")
    assert asyncio.run(call_tool(server.resource, with_scope, "add_note")).content[0].text == "added"
    without = server.token()
    session = post(server, without, INITIALIZE).headers["mcp-session-id"]
    answer = post(server, without, CALL_ADD_NOTE, session=session)
    assert answer.status_code == 200
    assert "added" not in answer.text


@pytest.mark.requirement("resource-implied-scopes")
@both_ways
def test_scopes_that_fastmcp_asks_for_may_be_implied(make_app: App, issue: Issue) -> None:
    scopes = {"mcp": "Use it", "notes:admin": "Manage notes", "notes:write": "Write notes"}
    with live(issue, make_app, SCOPES=scopes, IMPLIED_SCOPES={"notes:admin": ["notes:write"]}) as server:
        token = server.token(scope="mcp notes:admin")
        assert asyncio.run(call_tool(server.resource, token, "add_note")).content[0].text == "added"


@pytest.mark.requirement("resource-scopes-of-tools")
@both_ways
def test_other_spellings_of_the_path_are_no_way_round(make_app: App, issue: Issue) -> None:
    stateless = {"json_response": True, "stateless_http": True}
    resources = {"/mcp": {"TOOL_SCOPES": {"whoami": ["notes:write"]}}}
    with live(issue, lambda: make_app(**stateless), RESOURCES=resources) as server:
        headers = {"Authorization": f"Bearer {server.token()}", "Accept": "application/json, text/event-stream"}
        for path in (
            "/mcp",
            "//mcp",
            "/mcp/",
            "/./mcp",
            "/mcp//",
            "/MCP",
            "/%6dcp",
            "/mcp%2f",
            "/mcp?x=/",
            "/open/../mcp",
        ):
            answer = httpx2.post(server.url + path, json=CALL_WHOAMI, headers=headers, follow_redirects=True)
            assert (path, answer.status_code in (401, 403, 404)) == (path, True), answer.text


@pytest.mark.requirement("resource-sessions-have-an-owner")
@both_ways
def test_session_of_one_user_is_closed_to_another(server: Live) -> None:
    bobs = server.token(holder=local_identity(get_user_model().objects.create_user("bob")))
    alices = server.token()
    session = post(server, alices, INITIALIZE).headers["mcp-session-id"]
    assert post(server, bobs, LIST_TOOLS, session=session).status_code == 404
    assert post(server, alices, LIST_TOOLS, session=session).status_code == 200


@pytest.mark.parametrize("make_app", [with_auth])
class TestAuthOfFastMCP:
    def test_its_metadata_is_our_own_document(self, server: Live) -> None:
        path = "/.well-known/oauth-protected-resource/mcp"
        theirs = httpx2.get(f"{server.url}{path}", headers={"Origin": "https://client.example"})
        ours = Client().get(path)
        assert theirs.json() == ours.json()
        assert theirs.headers["cache-control"] == ours["Cache-Control"]
        assert theirs.headers["access-control-allow-origin"] == "*"
        assert httpx2.get(f"{server.url}/.well-known/oauth-protected-resource").status_code == 404

    def test_metadata_can_be_asked_for_with_the_headers_of_a_client_in_a_browser(self, server: Live) -> None:
        answer = httpx2.options(
            f"{server.url}/.well-known/oauth-protected-resource/mcp",
            headers={
                "Origin": "https://client.example",
                "Access-Control-Request-Method": "GET",
                "Access-Control-Request-Headers": "mcp-protocol-version",
            },
        )
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-headers"] == "mcp-protocol-version"

    def test_added_routes_stay_open(self, server: Live) -> None:
        assert httpx2.get(f"{server.url}/open").text == "open"
        assert httpx2.get(f"{server.url}/mcp").status_code == 401

    def test_routes_made_for_another_place_open_nothing(self, issue: Issue, make_app: App) -> None:
        """As FastMCP has servers do whose app is mounted below a path."""
        provider: list[RemoteAuthProvider] = []

        def app() -> Any:
            provider.append(RemoteAuthProvider())
            app = FastMCP("tests", auth=provider[0]).http_app()
            provider[0].get_well_known_routes("/elsewhere/mcp")
            return app

        with live(issue, app) as server:
            assert post(server, "", INITIALIZE).status_code == 401
            assert post(server, server.token(), INITIALIZE).status_code == 200


@pytest.mark.parametrize("make_app", [protected])
def test_added_routes_of_a_protected_app_are_protected(server: Live) -> None:
    assert httpx2.get(f"{server.url}/open").status_code == 401
    answer = httpx2.get(f"{server.url}/open", headers={"Authorization": f"Bearer {server.token()}"})
    assert answer.text == "open"


def test_provider_verifies_for_code_that_asks_it(access_token: str) -> None:
    provider = RemoteAuthProvider(scopes=["notes:write"])
    token = async_to_sync(provider.verify_token)(access_token)
    assert token is not None
    assert (token.resource, token.claims["iss"]) == (f"{ISSUER}/mcp", ISSUER)
    assert "principal" not in token.model_dump()
    assert async_to_sync(provider.verify_token)("nonsense") is None
    assert provider.required_scopes == ["mcp", "notes:write"]


def test_issuer_is_needed() -> None:
    with override_settings(MCP_OIDC={}), pytest.raises(ImproperlyConfigured, match="ISSUER"):
        RemoteAuthProvider()


@pytest.mark.parametrize("number", [0, 1])
def test_examples_of_the_documentation_serve_their_tools(number: int, issue: Issue) -> None:
    with live(issue, lambda: run_block("protect/fastmcp.md", number)["app"]) as server:
        assert post(server, "", INITIALIZE).status_code == 401
        if number == 0:
            assert asyncio.run(call_tool(server.resource, server.token(), "whoami")).content[0].text == "alice"
        else:
            assert post(server, server.token(), INITIALIZE).status_code == 200
