"""Revocation (RFC 7009): a client gives its own token back, and the Connection behind it ends."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.introspection import connection_of
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.server.client_requests import parse_client_request
from mcp_oidc.server.responses import endpoint, json_response


@endpoint("POST")
def revoke(request: HttpRequest) -> HttpResponse:
    """Revoke a token of the caller's; one that is unknown, dead or somebody else's is answered in the same way.

    `token_type_hint` is not looked at: a token says itself what it is (RFC 7009 2.1).
    """
    asked = parse_client_request(request)
    connection_id = connection_of(asked.require("token"), asked.client, issuer=issuer_of(request))
    if connection_id is not None:
        # RFC 7009 2.1: one grant, so its refresh token goes with its access token.
        revoke_connection(connection_id, "client_request", caller=Caller.of(request))
    # RFC 7009 2.2: 200 for invalid tokens too.
    return json_response({})
