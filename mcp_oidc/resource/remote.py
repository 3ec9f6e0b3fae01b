"""Verification in another process, which needs neither Django nor our database.

By the published keys alone:

    verifier = RemoteVerifier("https://mcp.example.com", "https://tools.example.com/mcp")
    principal = verifier.verify(token)

What it cannot see then is what happened after a token was issued: a revoked token, a disabled user or a blocked client
is accepted until the token expires (ACCESS_TOKEN_LIFETIME, and ten seconds for clocks that differ).

With the id and secret of a client that `serves` the resource, the issuer is asked about each token besides, and what
was revoked is refused within `cache_seconds`:

    verifier = RemoteVerifier(issuer, resource, client_id="...", client_secret="...")
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_oidc.errors import InvalidToken, UpstreamError
from mcp_oidc.protocol.access_tokens import verify_access_token
from mcp_oidc.protocol.scopes import close_implications, with_implied
from mcp_oidc.resource.remote_introspection import Introspection
from mcp_oidc.resource.remote_keys import Http, PublishedKeys
from mcp_oidc.upstream.http import get, post

# Seconds for which an answer of the issuer is good, unless the token expires before.
CACHE_SECONDS = 5.0


@dataclass(frozen=True)
class RemotePrincipal:
    """Who calls, as far as the token itself tells. `expires_at` is in seconds since the epoch."""

    subject: str
    client_id: str
    scopes: tuple[str, ...]
    resource: str
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False)
    # Scope to all that it implies.
    implied_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def has_scopes(self, scopes: tuple[str, ...]) -> bool:
        """Whether the token carries all of `scopes`, or wider ones that imply them."""
        return set(scopes) <= set(with_implied(self.scopes, self.implied_scopes))


class RemoteVerifier:
    """Verifies the access tokens of one issuer for one resource. Share one object among all threads: it caches.

    With `client_id` and `client_secret` it asks the issuer whether a token still lives, too; the answer is good for
    `cache_seconds` (0: for one call), whichever it was. `implied_scopes` is IMPLIED_SCOPES of the issuer's settings,
    scope to narrower ones; raises `ValueError` if they imply each other. `http` replaces our own: `http(url)` gets,
    `http(url, form=..., headers=...)` posts, and both return the body of a 200 answer or raise `OSError`. It blocks;
    from async code, call `verify` by `asyncio.to_thread`.
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
        self._issuer = issuer
        self._resource = resource
        self._implied_scopes = close_implications(implied_scopes or {})
        self._keys = PublishedKeys(issuer, http or _send)
        self._introspection = (
            Introspection(client_id, client_secret, cache_seconds=cache_seconds, http=http or _send)
            if client_id
            else None
        )

    def verify(self, token: str) -> RemotePrincipal:
        """The principal of an access token.

        Raises `InvalidToken`, and `TemporarilyUnavailable` where only the issuer, which does not answer, could tell.
        """
        # First: what is expired, forged or for another resource is refused without asking anybody.
        claims = verify_access_token(token, self._keys.find, issuer=self._issuer, audience=self._resource)
        if not self._is_active(token, claims.expires_at):
            raise InvalidToken("The access token was revoked, or its user or client may no longer use it.")
        return RemotePrincipal(
            subject=claims.subject,
            client_id=claims.client_id,
            scopes=claims.scopes,
            resource=claims.audience,
            expires_at=claims.expires_at,
            claims=claims.extra,
            implied_scopes=self._implied_scopes,
        )

    def _is_active(self, token: str, expires_at: int) -> bool:
        if self._introspection is None:
            return True
        endpoint = self._keys.introspection_endpoint
        return self._introspection.is_active(token, endpoint=endpoint, expires_at=expires_at)


def _send(url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> bytes:
    try:
        answer = get(url) if form is None else post(url, form, headers=headers or {})
    except UpstreamError as error:
        raise OSError(str(error)) from None
    if answer.status in (401, 403):
        raise PermissionError(f"{answer.where} answered {answer.status}")
    if answer.status != 200:
        raise OSError(f"{answer.where} answered {answer.status}")
    return answer.body
