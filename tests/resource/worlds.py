"""What a client holds, and what an attacker could make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.issuing import redeem_code
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk
from tests.factories import ISSUER, RESOURCE, make_metadata, open_for
from tests.resource import forgery

# The resource whose path begins like the other's.
PLAIN = f"{RESOURCE}/plain"

Issue = Callable[..., TokenSet]


def issuing(client: AbstractClient, identity: Identity, *, caller: Caller) -> Issue:
    """Makes the tokens of new connections of `client`; `identity`'s, unless there is a `holder`."""

    def issue(*, holder: Identity = identity, issuer: str = ISSUER, **params: str) -> TokenSet:
        opened = open_for(client, holder, caller=caller, **{"scope": "openid mcp", **params})
        return redeem_code(opened.request, client, issuer=issuer, caller=caller)

    return issue


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


def make_world(user_name: str, key: SigningJwk) -> World:
    """A world of its own, whose client and user no other world has. `key` is the one that signs."""
    caller = Caller(address="192.0.2.7", agent="tests/1.0")
    client = clients.register(make_metadata(), caller=caller).client
    identity = local_identity(get_user_model().objects.create_user(user_name))
    issue = issuing(client, identity, caller=caller)
    return World(issue(), issue(resource=PLAIN), client=client, identity=identity, key=key)
