"""Protection of django-ninja operations, synchronous and asynchronous.

    api = NinjaAPI(auth=BearerAuth("/mcp"))
    answer_refusals(api)

    @api.post("/notes", auth=BearerAuth("/mcp", scopes=("notes:write",)))
    def add_note(request): ...

`request.auth` and `request.principal` are the principal; `request.user` is the Django user, read when it is first used.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError
from ninja.security.http import HttpAuthBase

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import MissingToken, OAuthError
from mcp_oidc.resource.bearer import Endpoint, find_endpoint, refuse
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.refusals import REFUSABLE, Refusal
from mcp_oidc.resource.requests import admit, response_to, roll_back

# Where `BearerAuth` leaves its endpoint for the handlers, which ninja gives the request only.
_ENDPOINT = "mcp_oidc_endpoint"


class Refused(HttpError):
    """A refusal. Without `answer_refusals` ninja keeps its status, and says nothing of the challenge."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.status, "The request was refused.")
        self.refusal = refusal


class BearerAuth(HttpAuthBase):
    """Takes access tokens for `resource` (a key of RESOURCES); `scopes` are needed besides the resource's own SCOPES.

    A request without a bearer token is left to the other classes of the operation's `auth`.
    """

    openapi_scheme = "bearer"

    def __init__(self, resource: str = "/mcp", *, scopes: Scopes = ()) -> None:
        super().__init__()
        self._resource = resource
        self._needs = read_needs(scopes)

    def __call__(self, request: HttpRequest) -> Principal | None:
        """The principal, or None without a bearer token. Raises `Refused`."""
        endpoint = find_endpoint(self._resource, issuer=issuer_of(request), needs=self._needs).at(request.method)
        setattr(request, _ENDPOINT, endpoint)
        try:
            return admit(request, endpoint)
        except MissingToken:
            return None
        except OAuthError as error:
            raise Refused(refuse(error, endpoint)) from error


def answer_refusals(api: NinjaAPI) -> None:
    """Have `api` answer what `BearerAuth` refuses as every entry point does: in JSON, and with the whole challenge.

    Errors of `mcp_oidc.errors` that operations raise are answered, too: `UpstreamLoginRequired` is then the 401 that
    makes the client log in again.
    """
    api.add_exception_handler(Refused, _on_refused)
    api.add_exception_handler(AuthenticationError, partial(_on_nobody, api=api))
    for error in REFUSABLE:
        api.add_exception_handler(error, _on_error)


# Of the type Any: ninja says that it may hand over a class in the place of an error, which it never does.
def _on_refused(request: HttpRequest, error: Any) -> HttpResponse:
    return response_to(error.refusal)


def _on_nobody(request: HttpRequest, error: Any, *, api: NinjaAPI) -> HttpResponse:
    if not hasattr(request, _ENDPOINT):
        # Of an operation that takes no bearer tokens: as ninja itself would answer.
        return api.create_response(request, {"detail": str(error)}, status=error.status_code)
    return response_to(refuse(MissingToken("This resource needs an access token."), _endpoint_of(request)))


def _on_error(request: HttpRequest, error: Any) -> HttpResponse:
    roll_back()
    return response_to(refuse(error, _endpoint_of(request)))


def _endpoint_of(request: HttpRequest) -> Endpoint:
    """The endpoint that `BearerAuth` took the request for; for an operation without it, the first there is."""
    default = find_endpoint(next(iter(app_settings.RESOURCES)), issuer=issuer_of(request))
    endpoint: Endpoint = getattr(request, _ENDPOINT, default)
    return endpoint
