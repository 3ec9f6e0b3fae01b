"""Verification in another process, which needs neither Django nor our database.

By the published keys alone:

    verifier = RemoteVerifier("https://mcp.example.com", "https://tools.example.com/mcp")
    principal = verifier.verify(token)

What it cannot see then is what happened after a token was issued: a revoked token, a disabled user or a blocked client
is accepted until the token expires (ACCESS_TOKEN_LIFETIME, and ten seconds for clocks that differ).

With the id and secret of a client that `serves` the resource, the issuer is asked about each token besides, and what
was revoked is refused within `cache_seconds`:

    verifier = RemoteVerifier(issuer, resource, client_id="...", client_secret="...")

If an operator allows token exchange to that client, it also gets the users' tokens at the identity provider:

    tokens = verifier.get_idp_tokens(principal)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_oidc.errors import InvalidToken
from mcp_oidc.protocol.access_tokens import verify_access_token
from mcp_oidc.protocol.scopes import close_implications, with_implied
from mcp_oidc.resource.remote_http import Http, headers_for, make_http
from mcp_oidc.resource.remote_idp_tokens import RemoteIdpTokens, TokenExchange
from mcp_oidc.resource.remote_introspection import Introspection
from mcp_oidc.resource.remote_keys import PublishedKeys
from mcp_oidc.resource.threads import Threads

# Seconds for which an answer of the issuer is good, unless the token expires before.
CACHE_SECONDS = 5.0
# Seconds that async callers wait at most: for the keys and an answer, each with a time-out of its own.
_PATIENCE = 30


@dataclass(frozen=True)
class RemotePrincipal:
    """Who calls, as far as the token itself tells. `expires_at` is in seconds since the epoch."""

    subject: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False)
    token: str = field(repr=False)
    # Scope to all that it implies.
    implied_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @property
    def effective_scopes(self) -> tuple[str, ...]:
        """All that the token allows: its scopes, and what they imply."""
        return with_implied(self.scopes, self.implied_scopes)

    def has_scopes(self, scopes: tuple[str, ...]) -> bool:
        """Whether the token carries all of `scopes`, or wider ones that imply them."""
        return set(scopes) <= set(with_implied(self.scopes, self.implied_scopes))


class RemoteVerifier:
    """Verifies the access tokens of one issuer for one resource. Share one object among all threads: it caches.

    With `client_id` and `client_secret` it asks the issuer whether a token still lives, too; the answer is good for
    `cache_seconds` (0: for one call), whichever it was. `implied_scopes` is IMPLIED_SCOPES of the issuer's settings,
    scope to narrower ones; raises `ValueError` if they imply each other. `http` replaces our own: `http(url)` gets,
    `http(url, form=..., headers=...)` posts, and both return the body of a 200 answer or raise `OSError`
    (`PermissionError` for 401 and 403, `mcp_oidc.resource.remote_http.BadRequest` for 400).

    `verify` and `get_idp_tokens` block; from async code, use `averify` and `aget_idp_tokens`.
    """

    def __init__(
        self,
        issuer: str,
        resource: str,
        *,
        client_id: str = "",
        client_secret: str = "",
        cache_seconds: float = CACHE_SECONDS,
        implied_scopes: Mapping[str, Iterable[str]] | None = None,
        http: Http | None = None,
    ) -> None:
        if bool(client_id) != bool(client_secret):
            raise ValueError("To introspect, a RemoteVerifier needs both client_id and client_secret.")
        self.issuer = issuer
        self.resource = resource
        self._implied_scopes = close_implications(implied_scopes or {})
        ask = http or make_http()
        headers = headers_for(client_id, client_secret)
        self._keys = PublishedKeys(issuer, ask)
        self._introspection = Introspection(headers, cache_seconds=cache_seconds, http=ask) if client_id else None
        # Apart, in both: an identity provider that hangs holds up nobody's verification.
        self._exchange = TokenExchange(headers, http=http or make_http()) if client_id else None
        self._verifying = Threads("remote-verify", size=8, timeout=_PATIENCE)
        self._exchanging = Threads("remote-exchange", size=8, timeout=_PATIENCE)

    def verify(self, token: str) -> RemotePrincipal:
        """The principal of an access token.

        Raises `InvalidToken`, and `TemporarilyUnavailable` where only the issuer, which does not answer, could tell.
        """
        # First: what is expired, forged or for another resource is refused without asking anybody.
        claims = verify_access_token(token, self._keys.find, issuer=self.issuer, audience=self.resource)
        if not self._is_active(token, claims.expires_at):
            raise InvalidToken("The access token was revoked, or its user or client may no longer use it.")
        return RemotePrincipal(
            subject=claims.subject,
            client_id=claims.client_id,
            scopes=claims.scopes,
            resource=claims.audience,
            expires_at=claims.expires_at,
            claims=claims.extra,
            token=token,
            implied_scopes=self._implied_scopes,
        )

    async def averify(self, token: str) -> RemotePrincipal:
        """`verify` for async code, in threads of our own."""
        return await self._verifying.run(lambda: self.verify(token))

    def get_idp_tokens(self, source: RemotePrincipal | str) -> RemoteIdpTokens:
        """The access token at the identity provider of the user behind `source`: a principal, or an access token.

        The issuer refreshes it; here it is remembered until shortly before it expires, and handed out for as long as
        `source` is good. Raises `UpstreamLoginRequired` where only a new login brings one, `UpstreamUnavailable` where
        it cannot be had right now, and what `verify` raises.
        """
        if self._exchange is None:
            raise ValueError("To exchange tokens, a RemoteVerifier needs client_id and client_secret.")
        token = source if isinstance(source, str) else source.token
        # What is remembered is not for a token that was revoked, has expired, or is another resource's.
        self.verify(token)
        return self._exchange.tokens_for(token, endpoint=self._keys.endpoint("token_endpoint"))

    async def aget_idp_tokens(self, source: RemotePrincipal | str) -> RemoteIdpTokens:
        """`get_idp_tokens` for async code. Raises `TemporarilyUnavailable`, too, when too many wait for an answer."""
        return await self._exchanging.run(lambda: self.get_idp_tokens(source))

    def _is_active(self, token: str, expires_at: int) -> bool:
        if self._introspection is None:
            return True
        endpoint = self._keys.endpoint("introspection_endpoint")
        return self._introspection.is_active(token, endpoint=endpoint, expires_at=expires_at)
