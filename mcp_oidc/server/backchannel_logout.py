"""`/oauth/backchannel-logout`: what the identity provider calls when it logs somebody out (Back-Channel Logout 1.0)."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.event_kinds import Count
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol.forms import MAX_FORM_BYTES, parse_form
from mcp_oidc.server.client_requests import FORM
from mcp_oidc.server.responses import endpoint, json_response, read_body
from mcp_oidc.upstream.backchannel import accept_logout


@endpoint("POST", counted_as=Count.LOGOUT_REFUSED)
def backchannel_logout(request: HttpRequest) -> HttpResponse:
    """End the sessions and connections of whom the `logout_token` names; nothing else of the form is looked at."""
    params = parse_form(read_body(request, content_type=FORM, limit=MAX_FORM_BYTES))
    if "logout_token" not in params:
        raise InvalidRequest("The parameter logout_token is missing.")
    accept_logout(params["logout_token"], caller=Caller.of(request))
    # 2.8: also where nobody was logged in any more.
    return json_response({})
