"""A site whose MCP endpoints are as its owner meant them, or not: the tests choose among these."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from mcp_oidc.resource.decorators import protect


@protect("/mcp")
def mcp(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


@csrf_exempt
def unprotected(request: HttpRequest) -> HttpResponse:
    return JsonResponse({})


urlpatterns = [path("", include("mcp_oidc.urls")), path("mcp", mcp), path("open", unprotected)]
