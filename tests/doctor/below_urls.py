"""A site whose owner mounted everything below a path, and forgot the root of the host."""

from django.urls import include, path

from tests.doctor.urls import mcp

urlpatterns = [path("auth/", include("mcp_oidc.urls")), path("mcp", mcp)]
