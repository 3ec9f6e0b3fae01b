"""Clients that prove themselves with a signature (`private_key_jwt`, RFC 7523): each assertion is good once."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from joserfc.jwk import Key

from mcp_oidc.core.clients import UNKNOWN_CLIENT, find_client
from mcp_oidc.core.single_use import use_up
from mcp_oidc.errors import InvalidClient
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.client_assertions import read_assertion
from mcp_oidc.protocol.client_authentication import ClientCredentials
from mcp_oidc.protocol.jwts import BadJwt

FindClientKey = Callable[[AbstractClient, Mapping[str, Any]], Key]


def authenticate_by_assertion(
    credentials: ClientCredentials, *, audiences: Collection[str], find_key: FindClientKey
) -> AbstractClient:
    """The client behind an assertion for one of `audiences`, which is used up by it.

    `find_key` gets the client and the header, and raises `BadJwt` where the client has no such key. It may have to ask
    another server, so no transaction is open then. Raises `InvalidClient`, in the same words whatever was wrong.
    """
    client = find_client(credentials.client_id)
    if client is None or credentials.assertion is None or credentials.method not in client.auth_methods:
        raise InvalidClient(UNKNOWN_CLIENT)
    try:
        assertion = read_assertion(
            credentials.assertion,
            lambda header: find_key(client, header),
            client_id=client.client_id,
            audiences=audiences,
            now=time.time(),
        )
    except BadJwt as error:
        raise InvalidClient(UNKNOWN_CLIENT, log=f"client assertion refused: {error}") from None
    if not use_up(client.client_id, assertion.token_id, until=assertion.forgotten_at):
        raise InvalidClient(UNKNOWN_CLIENT, log="client assertion refused: it was used before")
    return client
