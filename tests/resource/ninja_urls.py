"""Operations of django-ninja that tests call, synchronous below `/ninja/` and asynchronous below `/async-ninja/`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import path
from ninja import NinjaAPI

from mcp_oidc.resource.idp_tokens import aget_idp_tokens, get_idp_tokens
from mcp_oidc.resource.ninja import BearerAuth, answer_refusals
from tests.resource.answers import describe

METHODS = ["GET", "POST", "DELETE"]


def ninja_api(name: str, view: Callable[..., Any], tokens_view: Callable[..., Any]) -> NinjaAPI:
    api = NinjaAPI(urls_namespace=name, docs_url=None, auth=BearerAuth())
    answer_refusals(api)
    api.api_operation(METHODS, "/mcp")(view)
    api.api_operation(METHODS, "/plain", auth=BearerAuth("/mcp/plain"))(view)
    api.api_operation(METHODS, "/scoped", auth=BearerAuth(scopes=("notes:write",)))(view)
    api.api_operation(METHODS, "/tokens")(tokens_view)
    return api


def sync_view(request: HttpRequest) -> dict[str, Any]:
    assert request.principal is request.auth
    return describe(request.auth, request.user.get_username())


async def async_view(request: HttpRequest) -> dict[str, Any]:
    user = await request.auser()
    return describe(request.auth, user.get_username())


def sync_tokens(request: HttpRequest) -> dict[str, Any]:
    return {"access_token": get_idp_tokens(request).access_token}


async def async_tokens(request: HttpRequest) -> dict[str, Any]:
    return {"access_token": (await aget_idp_tokens(request)).access_token}


urlpatterns = [
    path("ninja/", ninja_api("ninja", sync_view, sync_tokens).urls),
    path("async-ninja/", ninja_api("async-ninja", async_view, async_tokens).urls),
]
