"""The server under simulation: its own URLs, and a protected endpoint with two tools."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.utils import timezone

from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.decorators import protect
from mcp_oidc.resource.idp_tokens import get_idp_tokens


def whoami(request: HttpRequest) -> HttpResponse:
    principal = get_principal()
    return JsonResponse({"client": principal.client_id, "subject": principal.subject})


def profile(request: HttpRequest) -> HttpResponse:
    """What needs the user's tokens of the identity provider, and says for how long they are good."""
    principal, tokens = get_principal(), get_idp_tokens()
    assert principal.identity is not None
    assert tokens.expires_at is not None
    return JsonResponse(
        {
            "client": principal.client_id,
            "subject": principal.subject,
            "sub": principal.identity.sub,
            "idp_tokens_last": (tokens.expires_at - timezone.now()).total_seconds(),
        }
    )


urlpatterns = [
    path("", include("mcp_oidc.urls")),
    path("admin/", admin.site.urls),
    path("mcp/whoami", protect("/mcp")(whoami)),
    path("mcp/profile", protect("/mcp")(profile)),
]
