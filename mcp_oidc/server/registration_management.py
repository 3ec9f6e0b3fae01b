"""Management of a registration by the client that made it (RFC 7592)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse

from mcp_oidc.conf import issuer_of
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration
from mcp_oidc.core.encryption import is_secret
from mcp_oidc.core.registrations import change_registration, find_registration
from mcp_oidc.core.revocation import delete_client
from mcp_oidc.errors import BearerError, InvalidClientMetadata
from mcp_oidc.protocol.challenges import bearer_token, challenge_for
from mcp_oidc.server.registration import admitted_metadata, read_document, registration_answer, require_open
from mcp_oidc.server.responses import endpoint, error_response, json_response

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient


@endpoint("GET", "PUT", "DELETE")
def registration(request: HttpRequest, client_id: str) -> HttpResponse:
    """Read, replace or delete a registration, with the token that came with it."""
    try:
        token = bearer_token(request.headers.get("Authorization"))
        client = find_registration(client_id, token)
        return _ACTIONS[str(request.method)](request, client, token)
    except BearerError as error:
        return _challenge(error)


def _read(request: HttpRequest, client: AbstractClient, token: str) -> HttpResponse:
    # Without the secret, of which we have a hash only. The token stays: a client that loses an answer to a mere look
    # would be locked out.
    return json_response(registration_answer(Registration(client, management_token=token), issuer_of(request)))


def _replace(request: HttpRequest, client: AbstractClient, token: str) -> HttpResponse:
    require_open()
    document = read_document(request)
    _require_same_client(document, client)
    metadata = admitted_metadata(request, document, is_new=False)
    changed = change_registration(client, metadata, caller=Caller.of(request))
    return json_response(registration_answer(changed, issuer_of(request)))


def _delete(request: HttpRequest, client: AbstractClient, token: str) -> HttpResponse:
    delete_client(client, caller=Caller.of(request))
    return HttpResponse(status=204, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


_ACTIONS = {"GET": _read, "PUT": _replace, "DELETE": _delete}


def _require_same_client(document: dict[str, Any], client: AbstractClient) -> None:
    if document.get("client_id") != client.client_id:
        raise InvalidClientMetadata("client_id must be the id of the client that is changed.")
    secret = document.get("client_secret")
    # RFC 7592 2.2: a client must not choose its own secret.
    if secret is not None and not (isinstance(secret, str) and is_secret(secret, client.client_secret)):
        raise InvalidClientMetadata("client_secret must be the secret that the client has, or be left out.")


def _challenge(error: BearerError) -> HttpResponse:
    response = error_response(error)
    response["WWW-Authenticate"] = challenge_for(error, metadata_url="", scopes=())
    return response
