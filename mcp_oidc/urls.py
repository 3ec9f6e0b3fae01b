"""URLs. `path("", include("mcp_oidc.urls"))` at the root serves them all.

An issuer with a path, such as https://example.com/auth, mounts them below that path, and the well-known ones at the
root besides: `path("", include(mcp_oidc.urls.well_known))`.
"""

from __future__ import annotations

from django.urls import path

from mcp_oidc.health import health, live
from mcp_oidc.resource.metadata import protected_resource
from mcp_oidc.server.authorization import authorize
from mcp_oidc.server.backchannel_logout import backchannel_logout
from mcp_oidc.server.connected_apps import connected_apps
from mcp_oidc.server.discovery import jwks, metadata
from mcp_oidc.server.introspection import introspect
from mcp_oidc.server.metrics import metrics
from mcp_oidc.server.registration import register
from mcp_oidc.server.registration_management import registration
from mcp_oidc.server.revocation import revoke
from mcp_oidc.server.tokens import token
from mcp_oidc.server.userinfo import userinfo
from mcp_oidc.upstream.callback import callback
from mcp_oidc.upstream.login import login
from mcp_oidc.upstream.logout import logout

app_name = "mcp_oidc"

_AUTHORIZATION_SERVER = {"document": "oauth-authorization-server"}
_OPENID = {"document": "openid-configuration"}

well_known = [
    path(".well-known/oauth-authorization-server", metadata, _AUTHORIZATION_SERVER),
    path(".well-known/oauth-authorization-server/<path:path>", metadata, _AUTHORIZATION_SERVER),
    path(".well-known/openid-configuration", metadata, _OPENID),
    path(".well-known/openid-configuration/<path:path>", metadata, _OPENID),
    path(".well-known/oauth-protected-resource", protected_resource),
    path(".well-known/oauth-protected-resource/<path:path>", protected_resource),
]

urlpatterns = [
    *well_known,
    path("jwks", jwks, name="jwks"),
    path("authorize", authorize, name="authorize"),
    path("token", token, name="token"),
    path("token/revocation", revoke, name="revocation"),
    path("token/introspection", introspect, name="introspection"),
    path("register", register, name="register"),
    path("register/<str:client_id>", registration, name="registration"),
    path("me", userinfo, name="userinfo"),
    path("oauth/login", login, name="login"),
    path("oauth/callback", callback, name="callback"),
    path("oauth/logout", logout, name="logout"),
    path("oauth/backchannel-logout", backchannel_logout, name="backchannel_logout"),
    path("oauth/metrics", metrics, name="metrics"),
    path("oauth/connections", connected_apps, name="connections"),
    path("health", health, name="health"),
    path("health/live", live, name="live"),
]
