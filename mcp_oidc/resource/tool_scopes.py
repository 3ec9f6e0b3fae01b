"""Scopes of single tools (`TOOL_SCOPES` of a resource). What the body calls decides, never a header: a header may lie.

The body is read in one way only: what another parser might read differently is refused before it gets there.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError

from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import InsufficientScope, InvalidRequest
from mcp_oidc.resource.bearer import Endpoint

# As much as the `mcp` SDK takes by default.
MAX_BODY_BYTES = 4 * 1024 * 1024


def is_tool_scoped(endpoint: Endpoint, method: str | None) -> bool:
    """Whether the body of such a request has to be looked at."""
    return method == "POST" and bool(endpoint.resource.tool_scopes)


def body_of(request: HttpRequest) -> bytes:
    """The body of a Django request. Raises `InvalidRequest` where there is too much of it, or its end is missing."""
    try:
        return request.body
    except (RequestDataTooBig, UnreadablePostError):
        raise InvalidRequest("The request is too large, or ended early.") from None


def require_tool_scopes(principal: Principal, body: bytes, endpoint: Endpoint) -> None:
    """Raise `InsufficientScope`, with all that is needed, if `body` calls tools that the token does not cover.

    A batch needs what all its calls need. Raises `InvalidRequest` for what is not JSON, or too large to tell.
    """
    tools = _called_tools(body)
    further = [scope for tool, scopes in endpoint.resource.tool_scopes.items() if tool in tools for scope in scopes]
    if not principal.has_scopes(tuple(further)):
        needed = tuple(dict.fromkeys([*endpoint.scopes, *further]))
        raise InsufficientScope("The access token lacks a scope that this tool needs.", scopes=needed)


def _called_tools(body: bytes) -> frozenset[str]:
    if len(body) > MAX_BODY_BYTES:
        raise InvalidRequest("The request is too large.")
    try:
        document = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise InvalidRequest("The request body is not a JSON-RPC message.") from None
    messages = document if isinstance(document, list) else [document]
    return frozenset(tool for message in messages for tool in _tools_of(message))


def _tools_of(message: Any) -> tuple[str, ...]:
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return ()
    params = message.get("params")
    name = params.get("name") if isinstance(params, dict) else None
    return (name,) if isinstance(name, str) else ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    # RFC 8259 4: with a name twice, which one counts differs from parser to parser.
    if len(members) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return members
