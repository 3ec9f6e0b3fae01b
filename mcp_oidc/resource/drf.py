"""Protection of Django REST framework views.

    class Notes(APIView):
        authentication_classes = [BearerAuthentication]
        permission_classes = [HasScopes]
        mcp_resource = "/mcp/plain"
        mcp_scopes = ("notes:write",)

`request.user` is the Django user, read when it is first used; `request.auth` and `request.principal` are the principal.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import APIException
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.views import exception_handler as default_exception_handler

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import InsufficientScope, MissingToken, OAuthError
from mcp_oidc.resource.bearer import Endpoint, challenge, find_endpoint, refuse
from mcp_oidc.resource.needs import Needs, Scopes, read_needs, scopes_of
from mcp_oidc.resource.refusals import REFUSABLE, Refusal
from mcp_oidc.resource.requests import verify


class Refused(APIException):
    """A refusal as DRF's exception handler renders it: status, body, challenge and `Retry-After`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__()
        self.detail = json.loads(refusal.body)
        self.status_code = refusal.status
        # The handler reads these two.
        self.auth_header = refusal.headers.get("WWW-Authenticate")
        self.wait = int(refusal.headers["Retry-After"]) if "Retry-After" in refusal.headers else None


class BearerAuthentication(BaseAuthentication):
    """Takes access tokens for one resource: `mcp_resource` of the view, else of a subclass, else the first there is.

    A token needs the resource's scopes, those of `mcp_scopes` of the view (a list, or by method), and those of
    `require_scopes` on the method. A request without a bearer token is left to other authentication classes, and to
    the view's permissions: take `HasScopes` where there must be one.
    """

    mcp_resource: ClassVar[str | None] = None

    def authenticate(self, request: Request) -> tuple[Any, Principal] | None:
        """The user and the principal, or None without a bearer token. Raises `Refused`."""
        endpoint = _endpoint_of(request)
        try:
            principal = verify(request._request, endpoint)
        except MissingToken:
            return None
        except OAuthError as error:
            raise Refused(refuse(error, endpoint)) from error
        request._request.principal = principal  # type: ignore[attr-defined]  # as our decorator does
        return SimpleLazyObject(lambda: principal.user), principal

    def authenticate_header(self, request: Request) -> str:
        """The whole challenge for a request without a token."""
        return challenge(MissingToken(), _endpoint_of(request))


class HasScopes(BasePermission):
    """Lets a principal through, and nobody else, that has every scope of the view's `mcp_scopes`.

    Too little is a 403 whose challenge names all that the call needs. It is raised, so `|` has no use here.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Whether there is a principal. Raises `Refused` for one that lacks a scope."""
        if not isinstance(request.auth, Principal):
            return False
        endpoint = _endpoint_of(request)
        if not request.auth.has_scopes(endpoint.scopes):
            error = InsufficientScope("The access token lacks a scope.", scopes=endpoint.scopes)
            raise Refused(refuse(error, endpoint))
        return True


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """For REST_FRAMEWORK["EXCEPTION_HANDLER"]: answers the errors of `mcp_oidc.errors` that a view raises.

    With it `UpstreamLoginRequired` is a 401 that makes the client log in again, and not a 500. All else goes to DRF's.
    """
    if isinstance(exc, REFUSABLE):
        exc = Refused(refuse(exc, _endpoint_of(context["request"])))
    return default_exception_handler(exc, context)


def _endpoint_of(request: Request) -> Endpoint:
    view = request.parser_context.get("view")
    key = (
        getattr(view, "mcp_resource", None) or _resource_of_authenticator(request) or next(iter(app_settings.RESOURCES))
    )
    scopes: Scopes = getattr(view, "mcp_scopes", ())
    handler = getattr(view, (request.method or "").lower(), None)
    needs = read_needs(scopes) + Needs(always=scopes_of(handler))
    return find_endpoint(key, issuer=issuer_of(request._request), needs=needs).at(request.method)


def _resource_of_authenticator(request: Request) -> str | None:
    bearer = (item for item in request.authenticators or () if isinstance(item, BearerAuthentication))
    return next((item.mcp_resource for item in bearer), None)
