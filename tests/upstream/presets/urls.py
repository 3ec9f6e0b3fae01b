"""The URLs of `tests.upstream.urls`, and a tool that tells what it knows of its user."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from mcp_oidc.resource.decorators import protect


@protect("/mcp")
def mcp(request: HttpRequest) -> JsonResponse:
    """A tool."""
    return JsonResponse(request.principal.custom_data)  # type: ignore[attr-defined]  # protect puts it there


urlpatterns = [path("mcp", mcp), path("", include("tests.upstream.urls"))]
