"""Requests that a client sends itself: form encoded, parsed strictly, authenticated (RFC 6749 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.http import HttpRequest

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.client_assertions import authenticate_by_assertion
from mcp_oidc.core.clients import authenticate_client
from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol.client_authentication import ClientCredentials, parse_client_credentials
from mcp_oidc.protocol.forms import MAX_FORM_BYTES, parse_form
from mcp_oidc.server.client_keys import find_client_key
from mcp_oidc.server.discovery import endpoint_url
from mcp_oidc.server.responses import read_body

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient

FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class ClientRequest:
    """The client that proved itself, and the parameters of the body. Those of the query are never looked at."""

    client: AbstractClient
    params: dict[str, str]
    # Whether by more than its id: a client may have several ways, and one of them may be none.
    is_proven: bool

    def require(self, name: str) -> str:
        """A parameter that has to be there. Raises `InvalidRequest`."""
        if name not in self.params:
            raise InvalidRequest(f"The parameter {name} is missing.")
        return self.params[name]


def parse_client_request(request: HttpRequest) -> ClientRequest:
    """Read and authenticate.

    Raises `InvalidRequest`, `InvalidClient`, and `TemporarilyUnavailable` while a client's keys cannot be fetched.
    """
    params = parse_form(read_body(request, content_type=FORM, limit=MAX_FORM_BYTES))
    credentials = parse_client_credentials(request.headers.get("Authorization"), params)
    client = _authenticate(request, credentials)
    return ClientRequest(client, params, is_proven=credentials.method != "none")


def _authenticate(request: HttpRequest, credentials: ClientCredentials) -> AbstractClient:
    if credentials.assertion is None:
        return authenticate_client(credentials)
    issuer = issuer_of(request)
    # RFC 7523 3: the issuer or the token endpoint; clients name the endpoint that they call, too.
    endpoints = [endpoint_url(issuer, view) for view in ("token", "revocation", "introspection")]
    return authenticate_by_assertion(credentials, audiences=(issuer, *endpoints), find_key=find_client_key)
