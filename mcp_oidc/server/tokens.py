"""The token endpoint (RFC 6749 3.2): thin, and one core function for each grant type."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.issuing import CodeRequest, RefreshRequest, redeem_code, refresh
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.errors import InvalidRequest, UnauthorizedClient, UnsupportedGrantType
from mcp_oidc.protocol.authorization_requests import MAX_SCOPE_LENGTH
from mcp_oidc.protocol.scopes import parse_scope
from mcp_oidc.server.client_requests import ClientRequest, parse_client_request
from mcp_oidc.server.responses import endpoint, json_response
from mcp_oidc.upstream.revalidation import revalidate


@endpoint("POST", counted_as="token.refused")
def token(request: HttpRequest) -> HttpResponse:
    """Exchange a code or a refresh token."""
    asked = parse_client_request(request)
    grant_type = asked.require("grant_type")
    issue = {"authorization_code": _redeem_code, "refresh_token": _refresh}.get(grant_type)
    if issue is None:
        raise UnsupportedGrantType("The grant type must be authorization_code or refresh_token.")
    if grant_type not in asked.client.grant_types:
        raise UnauthorizedClient("The client did not register this grant type.")
    tokens = issue(asked, issuer_of(request), Caller.of(request))
    return json_response(tokens.as_dict())


def _redeem_code(asked: ClientRequest, issuer: str, caller: Caller) -> TokenSet:
    code_request = CodeRequest(
        code=asked.require("code"),
        redirect_uri=asked.params.get("redirect_uri"),
        code_verifier=asked.require("code_verifier"),
        resource=asked.params.get("resource"),
    )
    return redeem_code(code_request, asked.client, issuer=issuer, caller=caller)


def _refresh(asked: ClientRequest, issuer: str, caller: Caller) -> TokenSet:
    if len(asked.params.get("scope", "")) > MAX_SCOPE_LENGTH:
        raise InvalidRequest("The parameter scope is too long.")
    refresh_request = RefreshRequest(
        refresh_token=asked.require("refresh_token"),
        scopes=parse_scope(asked.params.get("scope", "")),
        resource=asked.params.get("resource"),
    )
    return refresh(refresh_request, asked.client, issuer=issuer, caller=caller, consult=revalidate)
