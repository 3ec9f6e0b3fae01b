"""What a client registered, managed by the client itself with the token that it was given (RFC 7592)."""

from __future__ import annotations

from django.db import transaction

from mcp_oidc.core import audit
from mcp_oidc.core.clients import Registration, change_client, choose_authentication, clients, find_client
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.encryption import hash_secret, is_secret, new_secret
from mcp_oidc.errors import InvalidToken
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.client_metadata import ClientMetadata

_REFUSAL = "The registration access token is not valid for this client."
# What no token hashes to: an unknown client takes as long to refuse as a wrong token.
_NO_HASH = "0" * 64


def find_registration(client_id: str, token: str) -> AbstractClient:
    """The living client that registered itself and holds `token`.

    Raises `InvalidToken`, in the same words whether the client is unknown, gone, or somebody else's.
    """
    client = find_client(client_id)
    if not is_secret(token, (client and client.registration_token) or _NO_HASH):
        raise InvalidToken(_REFUSAL)
    assert client is not None  # noqa: S101  # nothing hashes to _NO_HASH
    return client


def change_registration(client: AbstractClient, metadata: ClientMetadata, *, caller: audit.Caller) -> Registration:
    """Replace all that a client registered, and its token (RFC 7592 2.2).

    The answer holds a secret only if one had to be made: we keep hashes, and the client has the old one. Raises
    `InvalidToken` for a client whose token another request has just replaced.
    """
    token = new_secret()
    presented, client.registration_token = client.registration_token, hash_secret(token)
    secret = choose_authentication(client, metadata)
    _replace(client, presented, metadata, caller)
    return Registration(client, secret, token)


@retry_conflicts
def _replace(client: AbstractClient, presented: str, metadata: ClientMetadata, caller: audit.Caller) -> None:
    with transaction.atomic():
        # One of two parallel updates wins, and its token is the one that is good.
        current = clients().filter(pk=client.pk, registration_token=presented, deleted_at=None)
        secrets = {"registration_token": client.registration_token, "client_secret": client.client_secret}
        if not current.update(**secrets):
            raise InvalidToken(_REFUSAL)
        change_client(client, metadata, caller=caller)
