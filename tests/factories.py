"""What fixtures are made of, for tests that need another one of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from mcp_oidc.core.approvals import Approval, open_connection
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration, clients, register_by_hand
from mcp_oidc.core.issuing import CodeRequest
from mcp_oidc.models import AbstractClient, Connection, Identity
from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.authorization_requests import parse_request
from mcp_oidc.protocol.client_metadata import ClientMetadata, parse_client_metadata
from mcp_oidc.protocol.opaque_tokens import parse_token
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE

ISSUER = "http://testserver"
RESOURCE = "http://testserver/mcp"
REDIRECT_URI = "http://127.0.0.1:33418/callback"


@dataclass(frozen=True)
class Opened:
    """A connection that a user has just approved, with what its client holds."""

    connection: Connection
    client: AbstractClient
    code: str
    verifier: str

    @property
    def request(self) -> CodeRequest:
        """The token request that this client would send."""
        resource = self.connection.resource
        return CodeRequest(code=self.code, redirect_uri=REDIRECT_URI, code_verifier=self.verifier, resource=resource)


def make_metadata(**members: Any) -> ClientMetadata:
    """Valid metadata with `members` in the place of what a desktop client would send."""
    document = {"client_name": "Test client", "redirect_uris": [REDIRECT_URI], **members}
    return parse_client_metadata(document, private_schemes=("cursor",))


def open_for(client: AbstractClient, identity: Identity, *, caller: Caller, **params: str | None) -> Opened:
    """A connection of `client` that the user of `identity` approved. `params` change the authorization
    request, and None leaves one out.
    """
    verifier = pkce.new_verifier()
    wanted: dict[str, str | None] = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid mcp notes:write",
        "nonce": "n-0S6_WzA2Mj",
        "code_challenge": pkce.challenge_for(verifier),
        "code_challenge_method": "S256",
        **params,
    }
    sent = {name: value for name, value in wanted.items() if value is not None}
    request = parse_request(sent, redirect_uri=REDIRECT_URI)
    approval = Approval(
        user=identity.user,
        identity=identity,
        client=client,
        request=request,
        resource=request.resource or RESOURCE,
        scopes=request.scopes,
        authenticated_at=timezone.now(),
        idp_session="",
    )
    code = open_connection(approval, caller=caller)
    token = parse_token(code)
    assert token is not None
    return Opened(Connection.objects.get(pk=token.connection_id), client, code, verifier)


def add_resource_server(
    *resources: str, auth_method: str = "client_secret_basic", exchanges: bool = False, keys: Mapping[str, Any] = {}
) -> Registration:
    """A resource server elsewhere, as an operator adds it: no app of a user, with resources as RESOURCES names them."""
    grants = (TOKEN_EXCHANGE,) if exchanges else ()
    metadata = ClientMetadata((), auth_method, grants, "web", name="Tools elsewhere", scope="", keys=keys)
    return register_by_hand(clients().model(serves="\n".join(resources)), metadata, caller=Caller())
