"""One view for each way of protecting one, for each of the two resources: `/<entry point>/mcp` and `/<...>/plain`.

Those that need a package of their own are in modules beside this one.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views import View
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mcp_oidc.errors import InsufficientScope, UpstreamUnavailable
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.decorators import ProtectedMixin, protect
from mcp_oidc.resource.drf import BearerAuthentication, HasScopes
from mcp_oidc.resource.idp_tokens import aget_idp_tokens, get_idp_tokens
from tests.resource.answers import describe
from tests.resource.installed import is_installed


def sync_view(request: HttpRequest) -> HttpResponse:
    assert get_principal() is request.principal  # type: ignore[attr-defined]  # what `protect` adds
    return JsonResponse(describe(get_principal(), request.user.get_username()))


async def async_view(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    return JsonResponse(describe(get_principal(), user.get_username()))


class PlainView(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return sync_view(request)

    post = delete = get


class MixedView(ProtectedMixin, PlainView):
    pass


class AsyncMixedView(ProtectedMixin, View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return await async_view(request)

    post = delete = get


class ApiView(APIView):
    authentication_classes = [BearerAuthentication]
    permission_classes = [IsAuthenticated]

    def get(self, request: Request) -> Response:
        assert request.principal is request.auth
        return Response(describe(request.auth, request.user.get_username()))

    post = delete = get


class ScopedApiView(ApiView):
    permission_classes = [HasScopes]
    mcp_scopes = ("notes:write",)


class PlainResourceAuthentication(BearerAuthentication):
    mcp_resource = "/mcp/plain"


def tokens_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"access_token": get_idp_tokens(request).access_token})


async def async_tokens_view(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"access_token": (await aget_idp_tokens()).access_token})


class TokensApiView(ApiView):
    def get(self, request: Request) -> Response:
        return Response({"access_token": get_idp_tokens(request).access_token})


def step_up_view(request: HttpRequest) -> HttpResponse:
    raise InsufficientScope("Deleting needs more.", scopes=("notes:write",))


def outage_view(request: HttpRequest) -> HttpResponse:
    raise UpstreamUnavailable("no answer")


urlpatterns = [
    path("", include("mcp_oidc.urls")),
    path("sync/mcp", protect("/mcp")(sync_view)),
    path("sync/plain", protect("/mcp/plain")(sync_view)),
    path("sync/scoped", protect("/mcp", scopes=("notes:write",))(sync_view)),
    path("sync/step-up", protect("/mcp")(step_up_view)),
    path("sync/outage", protect("/mcp")(outage_view)),
    path("sync/tokens", protect("/mcp")(tokens_view)),
    path("async/mcp", protect("/mcp")(async_view)),
    path("async/plain", protect("/mcp/plain")(async_view)),
    path("async/scoped", protect("/mcp", scopes=("notes:write",))(async_view)),
    path("async/tokens", protect("/mcp")(async_tokens_view)),
    path("mixin/mcp", MixedView.as_view()),
    path("mixin/plain", MixedView.as_view(mcp_resource="/mcp/plain")),
    path("mixin/scoped", MixedView.as_view(mcp_scopes=("notes:write",))),
    path("async-mixin/mcp", AsyncMixedView.as_view()),
    path("async-mixin/plain", AsyncMixedView.as_view(mcp_resource="/mcp/plain")),
    path("async-mixin/scoped", AsyncMixedView.as_view(mcp_scopes=("notes:write",))),
    path("drf/mcp", ApiView.as_view()),
    path("drf/plain", ApiView.as_view(authentication_classes=[PlainResourceAuthentication])),
    path("drf/scoped", ScopedApiView.as_view()),
    path("drf/tokens", TokensApiView.as_view()),
]
urlpatterns += [
    path("", include(f"tests.resource.{urls}"))
    for package, urls in {
        "django-ninja": "ninja_urls",
        "django-mcpz": "mcpz_urls",
        "django-mcp-server": "mcp_server_urls",
    }.items()
    if is_installed(package)
]
