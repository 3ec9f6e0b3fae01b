"""Protection of Django views, synchronous and asynchronous, functions and classes.

@protect("/mcp/plain", scopes=("notes:write",))
def add_note(request): ...  # request.principal, request.user
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, ClassVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from mcp_oidc.conf import issuer_of
from mcp_oidc.resource.bearer import Endpoint, find_endpoint, refuse
from mcp_oidc.resource.context import acting_for
from mcp_oidc.resource.refusals import REFUSABLE, Refusable
from mcp_oidc.resource.requests import admit, response_to, roll_back

View = Callable[..., Any]


def protect(resource: str = "/mcp", *, scopes: Collection[str] = ()) -> Callable[[View], View]:
    """Let only requests with a good access token for `resource` (a key of RESOURCES) through to the view.

    The view finds `request.principal` and `request.user`, which is read from the database when it is first used (from
    async code: `await request.auser()`). It may raise errors of `mcp_oidc.errors`, such as `InsufficientScope`. CSRF
    protection is off, since no cookie counts here, and so is Django's LoginRequiredMiddleware. OPTIONS needs no token
    and never reaches the view.
    """
    if not isinstance(resource, str):
        raise TypeError('protect takes the key of a resource: write @protect("/mcp"), not @protect.')

    def decorate(view: View) -> View:
        guarded = _guarded_async if iscoroutinefunction(view) else _guarded
        return csrf_exempt(login_not_required(guarded(view, resource, tuple(scopes))))

    return decorate


class ProtectedMixin:
    """`protect` for class-based views: put it first among the base classes.

    It wraps the whole view, so that no override of `dispatch` gets round it.
    """

    mcp_resource: ClassVar[str] = "/mcp"
    mcp_scopes: ClassVar[Collection[str]] = ()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> View:
        """The view function, protected."""
        resource = initkwargs.get("mcp_resource", cls.mcp_resource)
        scopes = initkwargs.get("mcp_scopes", cls.mcp_scopes)
        view: View = super().as_view(**initkwargs)  # type: ignore[misc]  # of the View that this is mixed into
        return protect(resource, scopes=scopes)(view)


def _guarded(view: View, resource: str, scopes: tuple[str, ...]) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return _options()
        endpoint = find_endpoint(resource, issuer=issuer_of(request), scopes=scopes)
        try:
            with acting_for(admit(request, endpoint)):
                response: HttpResponseBase = view(request, *args, **kwargs)
        except REFUSABLE as error:
            roll_back()
            return _refused(error, endpoint)
        return response

    return guarded


def _guarded_async(view: View, resource: str, scopes: tuple[str, ...]) -> View:
    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return _options()
        endpoint = find_endpoint(resource, issuer=issuer_of(request), scopes=scopes)
        try:
            with acting_for(await sync_to_async(admit)(request, endpoint)):
                response: HttpResponseBase = await view(request, *args, **kwargs)
        except REFUSABLE as error:
            return _refused(error, endpoint)
        return response

    return guarded


def _options() -> HttpResponse:
    # A view that does not look at the method would run without a principal, so it is not asked.
    return HttpResponse(status=204)


def _refused(error: Refusable, endpoint: Endpoint) -> HttpResponse:
    return response_to(refuse(error, endpoint))
