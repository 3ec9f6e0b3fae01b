"""Introspection (RFC 7662): a client asks about its own tokens, a resource server about those for its resources.

Neither learns anything of others. Whether a token is good is all in `mcp_oidc.core.introspection`.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.introspection import introspect as introspect_token
from mcp_oidc.errors import InvalidClient
from mcp_oidc.server.client_requests import parse_client_request
from mcp_oidc.server.responses import endpoint, json_response


@endpoint("POST")
def introspect(request: HttpRequest) -> HttpResponse:
    """Say whether a token is active."""
    asked = parse_client_request(request)
    # RFC 7662 2.1: the caller must be authorized, and a public client proves nothing.
    if not asked.is_proven:
        raise InvalidClient("Introspection needs a client with a secret or a key.")
    return json_response(introspect_token(asked.require("token"), asked.client, issuer=issuer_of(request)))
