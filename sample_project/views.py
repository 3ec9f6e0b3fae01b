"""A page that says what this is, and an MCP endpoint that is a plain Django view."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from mcp_oidc.resource.decorators import protect

PROTOCOL_VERSION = "2025-06-18"
GREET = {
    "name": "greet",
    "description": "Say hello to the user who is logged in.",
    "inputSchema": {"type": "object", "properties": {}},
}


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Where to point a client."""
    return render(request, "sample_project/home.html", {"base_url": settings.BASE_URL})


@protect("/mcp/plain")
@require_POST
def plain(request: HttpRequest) -> HttpResponse:
    """As much of MCP as one tool needs, in plain Django. Its resource is its own: tokens for /mcp do not open it."""
    try:
        message = json.loads(request.body)
        method, params = message["method"], message.get("params") or {}
    except (ValueError, KeyError, TypeError):
        return _error(None, -32700, "Not a JSON-RPC request")
    if "id" not in message:
        return HttpResponse(status=202)
    answer = _METHODS.get(method)
    if answer is None:
        return _error(message["id"], -32601, "Method not found")
    return JsonResponse({"jsonrpc": "2.0", "id": message["id"], "result": answer(request, params)})


def _initialize(request: HttpRequest, params: dict[str, Any]) -> dict[str, Any]:
    return {
        "protocolVersion": PROTOCOL_VERSION,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "plain sample", "version": "1"},
    }


def _list_tools(request: HttpRequest, params: dict[str, Any]) -> dict[str, Any]:
    return {"tools": [GREET]}


def _call_tool(request: HttpRequest, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("name") != "greet":
        return {"content": [{"type": "text", "text": "There is no such tool."}], "isError": True}
    return {"content": [{"type": "text", "text": f"Hello, {request.user.get_username()}"}]}


_METHODS: dict[str, Callable[[HttpRequest, dict[str, Any]], dict[str, Any]]] = {
    "initialize": _initialize,
    "ping": lambda request, params: {},
    "tools/list": _list_tools,
    "tools/call": _call_tool,
}


def _error(message_id: Any, code: int, text: str) -> HttpResponse:
    return JsonResponse({"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": text}})
