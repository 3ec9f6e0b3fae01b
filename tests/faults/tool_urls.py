"""The sample with a tool at its plain endpoint that calls the identity provider in the user's name."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import path

from mcp_oidc.resource.decorators import protect
from mcp_oidc.resource.idp_tokens import get_idp_tokens
from mcp_oidc.upstream.provider import get_provider
from sample_project import urls


@protect("/mcp/plain")
def userinfo(request: HttpRequest) -> JsonResponse:
    """What the provider says to the user's access token of now."""
    provider = get_provider()
    assert provider is not None
    return JsonResponse(provider.userinfo(get_idp_tokens(request).access_token) or {})


urlpatterns = [path("mcp/plain", userinfo), *urls.urlpatterns]
