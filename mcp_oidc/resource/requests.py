"""Django's requests and responses, as its entry points let them through and refuse them."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import RequestDataTooBig
from django.db import connections
from django.http import HttpRequest, HttpResponse, RawPostDataException, UnreadablePostError
from django.utils.functional import SimpleLazyObject

from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.resource.bearer import Endpoint, require_origin, require_principal
from mcp_oidc.resource.call_scopes import require_scopes_of_body, require_scopes_of_head
from mcp_oidc.resource.refusals import Refusal


def verify(request: HttpRequest, endpoint: Endpoint) -> Principal:
    """Who calls, with a token that is enough for this call.

    Raises what `require_origin`, `require_principal`, `require_scopes_of_head` and `require_scopes_of_body` do.
    """
    require_origin(request.headers.get("Origin"), endpoint)
    principal = require_principal(request.headers.get("Authorization"), endpoint)
    head = require_scopes_of_head(principal, endpoint, request.method or "", request.headers.get)
    if head is not None:
        require_scopes_of_body(principal, _body_of(request), head, endpoint)
    return principal


def admit(request: HttpRequest, endpoint: Endpoint) -> Principal:
    """Who calls; from then on `request.principal`, `request.user` and `request.auser()` tell it, too.

    Raises what `verify` does.
    """
    principal = verify(request, endpoint)

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


def _body_of(request: HttpRequest) -> bytes:
    """The body of a Django request. Raises `InvalidRequest` where there is too much of it, or its end is missing."""
    try:
        return request.body
    except (RequestDataTooBig, UnreadablePostError):
        raise InvalidRequest("The request is too large, or ended early.") from None
    except RawPostDataException:
        raise InvalidRequest(
            "The request body is not a JSON-RPC message.", log="something before us has read the body as a form"
        ) from None
