"""The tools that a body calls. It decides which scopes a call needs, never a header: a header may lie.

The body is read in one way only: what another parser might read differently is refused before it gets there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mcp_oidc.errors import InvalidRequest

# As much as the `mcp` SDK takes by default.
MAX_BODY_BYTES = 4 * 1024 * 1024


def scopes_of_tools(body: bytes, tool_scopes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What all the calls in `body` need together, a batch included.

    Raises `InvalidRequest` for what is not JSON, or too large to tell.
    """
    tools = _called_tools(body)
    return tuple(scope for tool, scopes in tool_scopes.items() if tool in tools for scope in scopes)


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
