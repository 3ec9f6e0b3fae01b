"""URLs of the test project."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("", include("mcp_oidc.urls")), path("admin/", admin.site.urls)]
