"""Protection of Django views, synchronous and asynchronous, functions and classes.

@protect("/mcp/plain")
@require_scopes("notes:write")
def add_note(request): ...  # request.principal, request.user
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.verification import Principal
from mcp_oidc.errors import InsufficientScope
from mcp_oidc.resource.bearer import Endpoint, find_endpoint, refuse
from mcp_oidc.resource.context import acting_for, current_principal
from mcp_oidc.resource.needs import Needs, Scopes, declared_needs, read_needs, scopes_of
from mcp_oidc.resource.refusals import REFUSABLE, Refusable
from mcp_oidc.resource.requests import admit, response_to, roll_back

View = Callable[..., Any]
F = TypeVar("F", bound=Callable[..., Any])

# Marks a view that `protect` has wrapped.
_PROTECTED = "mcp_oidc_protected"


def protect(resource: str = "/mcp", *, scopes: Scopes = ()) -> Callable[[View], View]:
    """Let only requests with a good access token for `resource` (a key of RESOURCES) through to the view.

    `scopes` are needed besides the resource's own SCOPES, as a list or by method, and so are those of `require_scopes`
    on the view or on methods of its class; one challenge names them all. The view finds `request.principal` and
    `request.user`, which is read from the database when it is first used (from async code: `await request.auser()`). It
    may raise errors of `mcp_oidc.errors`, such as `InsufficientScope`. CSRF protection is off, since no cookie counts
    here, and so is Django's LoginRequiredMiddleware. OPTIONS needs no token and never reaches the view.
    """
    if not isinstance(resource, str):
        raise TypeError('protect takes the key of a resource: write @protect("/mcp"), not @protect.')
    needs = read_needs(scopes)

    def decorate(view: View) -> View:
        guarded = _guarded_async if iscoroutinefunction(view) else _guarded
        protected = csrf_exempt(login_not_required(guarded(view, resource, needs + declared_needs(view))))
        setattr(protected, _PROTECTED, True)
        return protected

    return decorate


def require_scopes(*scopes: str) -> Callable[[F], F]:
    """Let only tokens with `scopes` through to a protected view, or to a method of a class-based, DRF or ninja view.

    Put it below `protect`; synchronous or not. Raises `InsufficientScope` at a call with too little, and
    `PermissionDenied` at one that came through no entry point. It is for views: a tool's exceptions are answers of that
    tool, which no client is stepped up by, so list its scopes in TOOL_SCOPES.
    """
    if not scopes or not all(isinstance(scope, str) for scope in scopes):
        raise TypeError('require_scopes takes scopes: write @require_scopes("notes:write").')
    needed = read_needs(scopes).always

    def decorate(function: F) -> F:
        if hasattr(function, _PROTECTED):
            raise TypeError("Put @require_scopes below @protect, which tells it who calls.")

        def check(args: tuple[Any, ...]) -> None:
            if not _principal_among(args).has_scopes(needed):
                raise InsufficientScope("The access token lacks a scope that this call needs.", scopes=needed)

        @wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            check(args)
            return function(*args, **kwargs)

        @wraps(function)
        async def checked_async(*args: Any, **kwargs: Any) -> Any:
            check(args)
            return await function(*args, **kwargs)

        decorated: Any = checked_async if iscoroutinefunction(function) else checked
        decorated.required_scopes = (*scopes_of(function), *needed)
        return decorated  # type: ignore[no-any-return]  # what it wraps, to whoever calls it

    return decorate


class ProtectedMixin:
    """`protect` for class-based views: put it first among the base classes.

    It wraps the whole view, so that no override of `dispatch` gets round it.
    """

    mcp_resource: ClassVar[str] = "/mcp"
    mcp_scopes: ClassVar[Scopes] = ()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> View:
        """The view function, protected."""
        resource = initkwargs.get("mcp_resource", cls.mcp_resource)
        scopes = initkwargs.get("mcp_scopes", cls.mcp_scopes)
        view: View = super().as_view(**initkwargs)  # type: ignore[misc]  # of the View that this is mixed into
        return protect(resource, scopes=scopes)(view)


def _guarded(view: View, resource: str, needs: Needs) -> View:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return _options()
        endpoint = find_endpoint(resource, issuer=issuer_of(request), needs=needs).at(request.method)
        try:
            with acting_for(admit(request, endpoint)):
                response: HttpResponseBase = view(request, *args, **kwargs)
        except REFUSABLE as error:
            roll_back()
            return _refused(error, endpoint)
        return response

    return guarded


def _guarded_async(view: View, resource: str, needs: Needs) -> View:
    @wraps(view)
    async def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return _options()
        endpoint = find_endpoint(resource, issuer=issuer_of(request), needs=needs).at(request.method)
        try:
            with acting_for(await sync_to_async(admit)(request, endpoint)):
                response: HttpResponseBase = await view(request, *args, **kwargs)
        except REFUSABLE as error:
            return _refused(error, endpoint)
        return response

    return guarded


def _principal_among(args: tuple[Any, ...]) -> Principal:
    """Who calls: of the request, which is the first argument of a function and the second of a method."""
    of_requests = (getattr(each, "principal", None) for each in args[:2])
    principal = next((each for each in of_requests if isinstance(each, Principal)), None) or current_principal.get()
    if principal is None:
        # A user of the session, where a view lets those in, too; or a view that is not protected at all.
        raise PermissionDenied("This needs an access token, which no entry point of mcp_oidc.resource has seen.")
    return principal


def _options() -> HttpResponse:
    # A view that does not look at the method would run without a principal, so it is not asked.
    return HttpResponse(status=204)


def _refused(error: Refusable, endpoint: Endpoint) -> HttpResponse:
    return response_to(refuse(error, endpoint))
