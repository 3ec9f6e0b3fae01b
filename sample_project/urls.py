"""URLs of the sample. `/mcp` is not among them: `asgi.py` mounts it beside Django."""

from django.contrib import admin
from django.urls import include, path

from mcp_oidc.upstream.admin_login import admin_login
from sample_project.views import home, plain

urlpatterns = [
    path("", include("mcp_oidc.urls")),
    path("", home),
    path("mcp/plain", plain),
    path("admin/login/", admin_login, {"passwords": True}),
    path("admin/", admin.site.urls),
]
