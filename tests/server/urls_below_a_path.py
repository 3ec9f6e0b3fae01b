"""URLs of a server whose issuer has a path: everything below it, and what is well known at the root besides."""

from django.urls import include, path

from mcp_oidc.urls import well_known

urlpatterns = [path("auth/", include("mcp_oidc.urls")), path("", include(well_known))]
