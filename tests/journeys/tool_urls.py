"""The server's own URLs, and an MCP endpoint with one tool, which needs the user's tokens of the identity provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.http import require_POST

from mcp_oidc.resource.decorators import protect
from mcp_oidc.resource.idp_tokens import get_idp_tokens
from mcp_oidc.upstream.provider import get_provider

PROFILE = {
    "name": "profile",
    "inputSchema": {"type": "object", "properties": {}},
    "outputSchema": {"type": "object", "properties": {"email": {"type": "string"}}},
}


@protect("/mcp")
@require_POST
def mcp(request: HttpRequest) -> HttpResponse:
    """What the official client needs to initialize and to call the tool."""
    message = json.loads(request.body)
    if "id" not in message:
        return HttpResponse(status=202)
    answer = _ANSWERS.get(message["method"])
    if answer is None:
        return JsonResponse({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "No such"}})
    return JsonResponse({"jsonrpc": "2.0", "id": message["id"], "result": answer(request)})


def _initialize(request: HttpRequest) -> dict[str, Any]:
    server = {"name": "profile", "version": "1"}
    return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": server}


def _call_profile(request: HttpRequest) -> dict[str, Any]:
    provider = get_provider()
    assert provider is not None
    claims = provider.userinfo(get_idp_tokens(request).access_token)
    # None if the provider refuses the token.
    return {"content": [], "structuredContent": claims, "isError": claims is None}


_ANSWERS: dict[str, Callable[[HttpRequest], dict[str, Any]]] = {
    "initialize": _initialize,
    "tools/list": lambda request: {"tools": [PROFILE]},
    "tools/call": _call_profile,
}

urlpatterns = [path("", include("mcp_oidc.urls")), path("mcp", mcp)]
