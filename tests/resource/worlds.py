"""What a client holds, and what an attacker could make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk
from tests.factories import RESOURCE
from tests.resource import forgery

# The resource whose path begins like the other's.
PLAIN = f"{RESOURCE}/plain"

Issue = Callable[..., TokenSet]


@dataclass(frozen=True)
class World:
    """A client with good tokens, and whatever an attacker may know or do besides."""

    tokens: TokenSet
    plain_tokens: TokenSet
    client: AbstractClient
    identity: Identity
    key: SigningJwk

    @property
    def access_token(self) -> str:
        return self.tokens.access_token

    @property
    def claims(self) -> dict[str, Any]:
        return forgery.claims_of(self.access_token)

    @property
    def header(self) -> dict[str, Any]:
        return forgery.header_of(self.access_token)

    def signed(self, *, header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None) -> str:
        """The access token with members changed, signed by our own key: no attacker can make one."""
        key = forgery.private_key_of(self.key)
        return forgery.forge({**self.header, **(header or {})}, {**self.claims, **(claims or {})}, key)
