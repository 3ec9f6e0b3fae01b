"""The keys of clients that authenticate with `private_key_jwt`: registered ones, or those at a registered address."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from joserfc.jwk import Key

from mcp_oidc.errors import TemporarilyUnavailable, UpstreamError, UpstreamUnavailable
from mcp_oidc.protocol.jwts import BadJwt
from mcp_oidc.protocol.public_keys import PublicKeys, find_key, parse_public_keys
from mcp_oidc.server.document_fetch import fetch_document
from mcp_oidc.upstream.documents import CachedDocument

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient

# Seconds between two looks for a key that is not there: made-up key ids must not become a flood of requests.
UNKNOWN_KEY_COOLDOWN = 30.0
MAX_CACHED = 500


def find_client_key(client: AbstractClient, header: Mapping[str, Any]) -> Key:
    """The client's key for a JWT of this header, from its `jwks` or `jwks_uri`.

    Raises `BadJwt` where it has no such key, and `TemporarilyUnavailable` while its keys cannot be fetched.
    """
    jwks_uri = client.metadata.get("jwks_uri")
    if jwks_uri is None:
        key = find_key(parse_public_keys(client.metadata.get("jwks", {"keys": []})), header)
    else:
        key = _find_published_key(_published_keys(jwks_uri), header)
    if key is None:
        raise BadJwt("it is signed with a key that the client does not have")
    return key


def _find_published_key(document: CachedDocument[PublicKeys], header: Mapping[str, Any]) -> Key | None:
    try:
        keys = document.get()
        return find_key(keys, header) or find_key(document.get_newer(keys, cooldown=UNKNOWN_KEY_COOLDOWN), header)
    except UpstreamUnavailable as error:
        # Not invalid_client: it would throw away its registration for an outage.
        raise TemporarilyUnavailable("The keys of the client cannot be fetched.", log=str(error)) from None
    except UpstreamError as error:
        raise BadJwt(str(error)) from None


@lru_cache(maxsize=MAX_CACHED)
def _published_keys(jwks_uri: str) -> CachedDocument[PublicKeys]:
    return CachedDocument(partial(_fetch_keys, jwks_uri))


def _fetch_keys(jwks_uri: str) -> PublicKeys:
    try:
        return parse_public_keys(fetch_document(jwks_uri).members)
    except ValueError as error:
        raise UpstreamError(f"{jwks_uri}: {error}") from None


def forget_client_keys() -> None:
    """Forget what was fetched, for tests."""
    _published_keys.cache_clear()
