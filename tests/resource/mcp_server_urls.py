"""Servers of django-mcp-server that tests call, below `/mcp-server/`. Views are made as in its own urls.py."""

from __future__ import annotations

import json
from typing import Any

from django.urls import path
from mcp_server.djangomcp import DjangoMCP, MCPToolset
from mcp_server.views import MCPServerStreamableHttpView
from rest_framework.permissions import IsAuthenticated

from mcp_oidc.resource.drf import BearerAuthentication, HasScopes
from tests.resource.answers import describe


class PlainAuthentication(BearerAuthentication):
    mcp_resource = "/mcp/plain"


class ScopedView(MCPServerStreamableHttpView):
    mcp_scopes = ("notes:write",)


class Tools(MCPToolset):
    def whoami(self) -> str:
        return json.dumps(describe(self.request.auth, self.request.user.get_username()))


server = DjangoMCP(stateless=True)
Tools.mcp_server = server
server.register_mcptoolset(Tools())


def view(
    authentication: type[BearerAuthentication] = BearerAuthentication,
    permission: Any = IsAuthenticated,
    view_class: Any = MCPServerStreamableHttpView,
) -> Any:
    return view_class.as_view(
        mcp_server=server, permission_classes=[permission], authentication_classes=[authentication]
    )


urlpatterns = [
    path("mcp-server/mcp", view()),
    path("mcp-server/plain", view(PlainAuthentication)),
    path("mcp-server/scoped", view(permission=HasScopes, view_class=ScopedView)),
]
