"""Django's requests and responses, as its entry points let them through and refuse them."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.utils.functional import SimpleLazyObject

from mcp_oidc.core.verification import Principal
from mcp_oidc.resource.bearer import Endpoint, require_origin, require_principal
from mcp_oidc.resource.refusals import Refusal
from mcp_oidc.resource.tool_scopes import body_of, is_tool_scoped, require_tool_scopes


def admit(request: HttpRequest, endpoint: Endpoint) -> Principal:
    """Who calls; from then on `request.principal`, `request.user` and `request.auser()` tell it, too.

    Raises what `require_origin`, `require_principal` and `require_tool_scopes` do.
    """
    require_origin(request.headers.get("Origin"), endpoint)
    principal = require_principal(request.headers.get("Authorization"), endpoint)
    if is_tool_scoped(endpoint, request.method):
        require_tool_scopes(principal, body_of(request), endpoint)

    async def auser() -> AbstractBaseUser:
        return await sync_to_async(lambda: principal.user)()

    request.principal = principal  # type: ignore[attr-defined]  # what every entry point of Django adds
    request.user = SimpleLazyObject(lambda: principal.user)  # type: ignore[assignment]  # as Django's middleware does
    request.auser = auser  # type: ignore[assignment]  # as Django's middleware does
    return principal


def response_to(refusal: Refusal) -> HttpResponse:
    """A refusal as Django sends it."""
    return HttpResponse(refusal.body, status=refusal.status, headers=dict(refusal.headers))


def roll_back() -> None:
    """With ATOMIC_REQUESTS an answer commits; one that tells of a failure must not."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["ATOMIC_REQUESTS"] and connection.in_atomic_block:
            connection.set_rollback(True)
