"""Userinfo (OpenID Connect Core 5.3), at `/me`: what the granted scopes release of a user's claims."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.errors import BearerError, InsufficientScope, InvalidRequest
from mcp_oidc.protocol.challenges import bearer_token, challenge_for
from mcp_oidc.protocol.claims import released_claims
from mcp_oidc.server.responses import endpoint, error_response, json_response


@endpoint("GET", "POST")
def userinfo(request: HttpRequest) -> HttpResponse:
    """The claims of the token's user. Any resource's token will do, with the scope `openid`."""
    try:
        token = bearer_token(request.headers.get("Authorization"))
        principal = verify_access_token(token, issuer=issuer_of(request), resource=None)
        if not principal.has_scopes(("openid",)):
            raise InsufficientScope("Userinfo needs the scope openid.", scopes=("openid",))
    except (BearerError, InvalidRequest) as error:
        return _refuse(error)
    claims = principal.identity.claims if principal.identity else {}
    return json_response({**released_claims(claims, principal.scopes), "sub": principal.subject})


def _refuse(error: BearerError | InvalidRequest) -> HttpResponse:
    response = error_response(error)
    # No metadata: this endpoint is none of the resources that have some.
    response["WWW-Authenticate"] = challenge_for(error, metadata_url="", scopes=("openid",))
    return response
