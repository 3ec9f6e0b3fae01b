"""Scopes of single tools (`TOOL_SCOPES` of a resource)."""

from __future__ import annotations

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, UnreadablePostError

from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import InsufficientScope, InvalidRequest
from mcp_oidc.protocol.tool_calls import scopes_of_tools
from mcp_oidc.resource.bearer import Endpoint


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
    further = scopes_of_tools(body, endpoint.resource.tool_scopes)
    if not principal.has_scopes(further):
        needed = tuple(dict.fromkeys([*endpoint.scopes, *further]))
        raise InsufficientScope("The access token lacks a scope that this tool needs.", scopes=needed)
