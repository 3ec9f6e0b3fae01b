"""The server's URLs, the admin's, and an MCP endpoint behind it all."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from django.urls import include, path

from mcp_oidc.resource.decorators import protect


@protect("/mcp")
def mcp(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"user": request.user.get_username()})


urlpatterns = [path("mcp", mcp), path("", include("tests.urls"))]
