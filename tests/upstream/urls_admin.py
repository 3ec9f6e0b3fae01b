"""The server's own URLs, and admins behind the provider: Django's, one that keeps passwords, and one of the project."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import include, path

from mcp_oidc.upstream.admin_login import admin_login
from mcp_oidc.upstream.logout import logout


class OwnersSite(admin.AdminSite):
    """An admin that is for superusers only."""

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and request.user.is_superuser


owners = OwnersSite(name="owners")

urlpatterns = [
    path("admin/login/", admin_login),
    path("admin/logout/", logout),
    path("admin/", admin.site.urls),
    path("owners/login/", admin_login, {"site": owners, "passwords": True}),
    path("owners/", owners.urls),
    path("", include("mcp_oidc.urls")),
]
