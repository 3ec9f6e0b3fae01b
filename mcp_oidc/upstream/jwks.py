"""The identity provider's keys: kept for a while, and fetched again for a key that is not among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from joserfc.jwk import Key

from mcp_oidc.errors import UpstreamError
from mcp_oidc.protocol.public_keys import PublicKeys, find_key, parse_public_keys
from mcp_oidc.upstream.documents import CachedDocument, DocumentState

# Seconds between two looks for a key that is not there: made-up key ids must not become a flood of requests.
UNKNOWN_KEY_COOLDOWN = 30.0


class ProviderKeys:
    """The keys that `fetch` gets, kept for a while and fetched again, now and then, for a key that is not there."""

    def __init__(self, fetch: Callable[[], PublicKeys]) -> None:
        self._document = CachedDocument(fetch)

    @property
    def state(self) -> DocumentState:
        """What is known of them now."""
        return self._document.state

    def find(self, header: Mapping[str, Any], *, issuer: str | None = None, is_unasked: bool = False) -> Key:
        """The key for a JWT of this header, of this issuer's if one is named.

        With `is_unasked`, for a JWT that anybody may send: its look for an unknown key keeps no login from its own.
        Raises `UpstreamError` where there is none or it is ambiguous.
        """
        keys = self._document.get()
        found = find_key(keys, header, issuer=issuer) or find_key(
            self._document.get_newer(keys, cooldown=UNKNOWN_KEY_COOLDOWN, asker="unasked" if is_unasked else ""),
            header,
            issuer=issuer,
        )
        if found is None:
            raise UpstreamError(
                "the check of the signature failed: its key is none that the identity provider publishes"
            )
        return found


def parse_keys(document: Mapping[str, Any]) -> PublicKeys:
    """The keys of a JWK Set. Raises `UpstreamError` for what is none."""
    try:
        return parse_public_keys(document)
    except ValueError as error:
        raise UpstreamError(f"the keys of the identity provider cannot be read: {error}") from None
