"""The server's own URLs, a page that tells who is logged in, and an MCP endpoint that needs the provider's tokens."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from mcp_oidc.resource.decorators import protect
from mcp_oidc.resource.idp_tokens import get_idp_tokens
from mcp_oidc.upstream.session import current_login


def after(request: HttpRequest) -> JsonResponse:
    """Where logins in these tests lead: what `current_login` says."""
    login = current_login(request)
    if login is None:
        return JsonResponse({"user": None, "django_user": request.user.get_username()})
    return JsonResponse(
        {
            "user": login.user.get_username(),
            "sub": login.identity.sub,
            "claims": login.identity.claims,
            "custom_data": login.identity.custom_data,
            "authenticated_at": login.authenticated_at.isoformat(),
            "idp_session": login.idp_session,
        }
    )


@protect("/mcp")
def mcp(request: HttpRequest) -> JsonResponse:
    """A tool that calls an API of the provider."""
    return JsonResponse({"has_token": bool(get_idp_tokens(request).access_token)})


urlpatterns = [path("after", after), path("mcp", mcp), path("", include("mcp_oidc.urls"))]
