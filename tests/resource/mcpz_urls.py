"""Servers of django-mcpz that tests call, below `/mcpz/`."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django_mcpz.server import MCPServer

from mcp_oidc.resource.idp_tokens import get_idp_tokens
from mcp_oidc.resource.mcpz import bearer_auth, tool_errors
from tests.resource.answers import describe


def mcpz_server(auth: Callable[[HttpRequest], HttpResponse | None]) -> MCPServer:
    server = MCPServer(name="tests", version="1", auth=auth)

    @server.tool(description="Who calls")
    def whoami(request: HttpRequest) -> str:
        return json.dumps(describe(request.principal, request.user.get_username()))

    @server.tool(description="The user's token at the identity provider")
    def ask_idp(request: HttpRequest) -> str:
        with tool_errors():
            return get_idp_tokens(request).access_token

    return server


urlpatterns = [
    path("mcpz/mcp", mcpz_server(bearer_auth())),
    path("mcpz/plain", mcpz_server(bearer_auth("/mcp/plain"))),
    path("mcpz/scoped", mcpz_server(bearer_auth(scopes=("notes:write",)))),
]
