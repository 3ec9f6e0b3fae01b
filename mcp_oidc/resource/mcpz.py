"""Protection of servers made with django-mcpz.

    server = MCPServer(name="My tools", version="1", auth=bearer_auth("/mcp"))

Tools find the principal at `request.principal`, and the Django user at `request.user`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from django.http import HttpRequest, HttpResponse
from django_mcpz.server import ToolError

from mcp_oidc.conf import issuer_of
from mcp_oidc.errors import OAuthError
from mcp_oidc.resource.bearer import find_endpoint, refuse
from mcp_oidc.resource.needs import Scopes, read_needs
from mcp_oidc.resource.requests import admit, response_to
from mcp_oidc.resource.telling import telling


def bearer_auth(resource: str = "/mcp", *, scopes: Scopes = ()) -> Callable[[HttpRequest], HttpResponse | None]:
    """What `MCPServer` takes as `auth`: lets only requests with a good access token for `resource` through.

    `resource` is a key of RESOURCES; `scopes` are needed besides the resource's own SCOPES. django-mcpz itself answers
    every method but POST with 405, and foreign origins that are not in ALLOWED_HOSTS with 403, before it asks.
    """
    needs = read_needs(scopes)

    def authenticate(request: HttpRequest) -> HttpResponse | None:
        endpoint = find_endpoint(resource, issuer=issuer_of(request), needs=needs).at(request.method)
        try:
            admit(request, endpoint)
        except OAuthError as error:
            return response_to(refuse(error, endpoint))
        return None

    return authenticate


def tool_errors() -> AbstractContextManager[None]:
    """Inside a tool, around what needs the identity provider: lets the model read why that failed.

    Raises `ToolError` of django-mcpz for `UpstreamLoginRequired` and `UpstreamUnavailable`.
    """
    return telling(ToolError)
