"""Servers of the `mcp` SDK and of FastMCP, protected in each way that there is, with one tool that tells who calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastmcp import FastMCP
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import MCPServer

from mcp_oidc.resource import fastmcp, mcp_sdk
from mcp_oidc.resource.asgi_messages import ASGIApp
from mcp_oidc.resource.context import get_principal
from tests.resource.answers import describe

# The resource and the further scopes of each place that an entry point has.
Place = tuple[str, tuple[str, ...]]
PLACES: Mapping[str, Place] = {"mcp": ("/mcp", ()), "plain": ("/mcp/plain", ()), "scoped": ("/mcp", ("notes:write",))}


async def whoami() -> str:
    return json.dumps(describe(get_principal(), ""))


async def whoami_of_the_sdk() -> str:
    token = get_access_token()
    assert isinstance(token, mcp_sdk.PrincipalToken)
    return json.dumps(describe(token.principal, ""))


def sdk_protected(resource: str, scopes: tuple[str, ...]) -> ASGIApp:
    server = MCPServer("tests")
    server.tool()(whoami)
    return mcp_sdk.protect(_sdk_app(server, resource), resource, scopes=scopes)


def sdk_with_auth(resource: str, scopes: tuple[str, ...]) -> ASGIApp:
    settings = mcp_sdk.auth_settings(resource, scopes=scopes)
    server = MCPServer("tests", auth=settings, token_verifier=mcp_sdk.TokenVerifier(resource))
    server.tool(name="whoami")(whoami_of_the_sdk)
    return _sdk_app(server, resource)


def fastmcp_protected(resource: str, scopes: tuple[str, ...]) -> ASGIApp:
    server = FastMCP("tests")
    server.tool(whoami)
    return fastmcp.protect(_fastmcp_app(server), resource, scopes=scopes)


def fastmcp_with_auth(resource: str, scopes: tuple[str, ...]) -> ASGIApp:
    server = FastMCP("tests", auth=fastmcp.RemoteAuthProvider(resource, scopes=scopes))
    server.tool(whoami)
    return _fastmcp_app(server)


def _sdk_app(server: MCPServer, resource: str) -> Any:
    security = mcp_sdk.transport_security(resource)
    return server.streamable_http_app(json_response=True, stateless_http=True, transport_security=security)


def _fastmcp_app(server: FastMCP) -> Any:
    return server.http_app(json_response=True, stateless_http=True)


BUILDERS: Mapping[str, Callable[[str, tuple[str, ...]], ASGIApp]] = {
    "mcp SDK": sdk_protected,
    "mcp SDK with auth": sdk_with_auth,
    "FastMCP": fastmcp_protected,
    "FastMCP with auth": fastmcp_with_auth,
}
