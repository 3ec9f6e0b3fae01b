"""Dynamic client registration (RFC 7591): any MCP client introduces itself."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse

from mcp_oidc.adapter import get_adapter
from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration
from mcp_oidc.core.clients import register as register_client
from mcp_oidc.core.registration_limits import admit
from mcp_oidc.errors import AccessDenied, InvalidClientMetadata, InvalidRequest
from mcp_oidc.protocol.client_metadata import ClientMetadata, parse_client_metadata
from mcp_oidc.protocol.forms import MAX_JSON_BYTES, parse_json_object
from mcp_oidc.server.responses import endpoint, json_response, read_body


@endpoint("POST", counted_as="registration.refused")
def register(request: HttpRequest) -> HttpResponse:
    """Register a client and tell it its id, and its secret once."""
    require_open()
    metadata = admitted_metadata(request, read_document(request), is_new=True)
    registration = register_client(metadata, caller=Caller.of(request))
    return json_response(registration_answer(registration, issuer_of(request)), status=201)


def require_open() -> None:
    """Raise `AccessDenied` where nobody may describe a client from outside."""
    if app_settings.REGISTRATION != "open":
        raise AccessDenied("This server registers no clients itself.")


def read_document(request: HttpRequest) -> dict[str, Any]:
    """The JSON object that a client sent. Raises `InvalidClientMetadata`."""
    try:
        return parse_json_object(read_body(request, content_type="application/json", limit=MAX_JSON_BYTES))
    except InvalidRequest as error:
        # RFC 7591 3.2.2 has no invalid_request.
        raise InvalidClientMetadata(error.description) from None


def admitted_metadata(request: HttpRequest, document: dict[str, Any], *, is_new: bool) -> ClientMetadata:
    """What a client wants to register, once the server and the project have agreed to it. Raises `OAuthError`."""
    metadata = parse_client_metadata(document, private_schemes=app_settings.REDIRECT_SCHEMES)
    admit(metadata, is_new=is_new, caller=Caller.of(request))
    get_adapter().authorize_registration(request, metadata)
    return metadata


def registration_answer(registration: Registration, issuer: str) -> dict[str, Any]:
    """The client information response (RFC 7591 3.2.1, RFC 7592 3)."""
    client = registration.client
    answer: dict[str, Any] = {
        **client.metadata,
        "client_id": client.client_id,
        "client_id_issued_at": int(client.created.timestamp()),
        "registration_client_uri": f"{issuer}/register/{client.client_id}",
        "registration_access_token": registration.management_token,
    }
    if registration.secret is not None:
        # RFC 7591 3.2.1: required beside a secret; 0 means never.
        answer.update(client_secret=registration.secret, client_secret_expires_at=0)
    return answer
