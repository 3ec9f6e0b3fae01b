"""JWT access tokens (RFC 9068): how one is written, and whether one is good for a resource.

Being good here is only half of it: a token names its Connection (`sid`), and whether that still lives is asked of the
database, or of introspection.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from joserfc.jwk import Key

from mcp_oidc.errors import InvalidToken
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk
from mcp_oidc.protocol.jwts import MAX_TOKEN_LENGTH, BadJwt, read_jwt, sign_jwt
from mcp_oidc.protocol.scopes import format_scope, parse_scope

# RFC 9068 2.1; 4 allows the long form too.
_TYPES = frozenset({"at+jwt", "application/at+jwt"})
# Seconds that another machine's clock may be off.
LEEWAY = 10
# Said by this server or by nobody. With them an adapter would decide who a token is for, how long it is good, how its
# user logged in or what proves its possession (RFC 7519 4.1, RFC 7662 2.2, RFC 7800 3.1, RFC 9068 2.2).
_OWN_CLAIMS = frozenset(
    {"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "auth_time", "cnf", "sid", "gen"}
    | {"active", "token_type"}
)

KeyFinder = Callable[[str], SigningJwk | None]


@dataclass(frozen=True)
class AccessTokenClaims:
    """What an access token says (RFC 9068 2.2). Times are seconds since the epoch."""

    issuer: str
    subject: str
    audience: str
    client_id: str
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int
    token_id: str
    connection_id: uuid.UUID
    generation: int
    # Before it is signed, what an adapter wants to add; of a token that was read, its whole payload.
    extra: Mapping[str, Any]
    # RFC 9068 2.2.1: of the login behind the authorization, so it stays the same however often a client refreshes.
    authenticated_at: int | None = None

    @property
    def added(self) -> dict[str, Any]:
        """What an adapter added, and may add."""
        return {name: value for name, value in self.extra.items() if name not in _OWN_CLAIMS and value is not None}

    @cached_property
    def is_nested(self) -> bool:
        """Whether there are objects or arrays in `extra`."""
        return any(isinstance(value, (dict, list)) for value in self.extra.values())

    def as_dict(self) -> dict[str, Any]:
        """The JWT's payload."""
        payload = {
            **self.added,
            "iss": self.issuer,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client_id,
            "scope": format_scope(self.scopes),
            "iat": self.issued_at,
            "exp": self.expires_at,
            "jti": self.token_id,
            "sid": str(self.connection_id),
            "gen": self.generation,
        }
        if self.authenticated_at is not None:
            payload["auth_time"] = self.authenticated_at
        return payload


def sign_access_token(claims: AccessTokenClaims, key: SigningJwk) -> str:
    """The access token for `claims`. Raises `ValueError` where so much was added that nobody would read it."""
    token = sign_jwt(claims.as_dict(), key, typ="at+jwt")
    if len(token) > MAX_TOKEN_LENGTH:
        raise ValueError(f"An access token of {len(token)} characters would be refused: the adapter adds too much.")
    return token


def verify_access_token(token: str, find_key: KeyFinder, *, issuer: str, audience: str | None) -> AccessTokenClaims:
    """The claims of a token that `issuer` signed for `audience` (None: for any) and that has not expired.

    Raises `InvalidToken` for everything else (RFC 9068 4).
    """
    claims = read_access_token(token, find_key, issuer=issuer)
    require_good(claims, issuer=issuer, audience=audience)
    return claims


def require_good(claims: AccessTokenClaims, *, issuer: str, audience: str | None) -> None:
    """Raise `InvalidToken` unless these are claims of `issuer`, for `audience` (None: for any), and good by now."""
    if claims.issuer != issuer:
        raise InvalidToken("The access token was issued by somebody else.")
    # RFC 8707 2: exactly this resource, never one that merely starts alike.
    if audience is not None and claims.audience != audience:
        raise InvalidToken("The access token is for another resource.")
    now = time.time()
    if now >= claims.expires_at + LEEWAY:
        raise InvalidToken("The access token has expired.")
    if claims.issued_at > now + LEEWAY + 60:
        raise InvalidToken("The access token is from the future.")


def read_access_token(token: str, find_key: KeyFinder, *, issuer: str) -> AccessTokenClaims:
    """The claims of a token that `issuer` signed, for whomever and however long ago: whose it is, not that it is good.

    Raises `InvalidToken` for everything else.
    """
    claims = _parse_claims(_verified_payload(token, find_key))
    if claims.issuer != issuer:
        raise InvalidToken("The access token was issued by somebody else.")
    return claims


def _verified_payload(token: str, find_key: KeyFinder) -> Mapping[str, Any]:
    def key_for(header: Mapping[str, Any]) -> Key:
        if str(header.get("typ", "")).lower() not in _TYPES:
            raise BadJwt("it is not an access token")
        key = find_key(header["kid"]) if isinstance(header.get("kid"), str) else None
        # A key is used with its own algorithm only: a public RSA key is no HMAC secret.
        if key is None or header.get("alg") != key.algorithm:
            raise BadJwt("no key of this server fits its header")
        return key.key

    try:
        return read_jwt(token, key_for, algorithms=SIGNING_ALGORITHMS)
    except BadJwt as error:
        raise InvalidToken(
            "The access token is not one of this server.", log=f"access token refused: {error}"
        ) from None


def _parse_claims(payload: Mapping[str, Any]) -> AccessTokenClaims:
    audience = payload.get("aud")
    if isinstance(audience, list) and len(audience) == 1:
        audience = audience[0]
    texts = {name: payload.get(name) for name in ("iss", "sub", "client_id", "scope", "jti", "sid")}
    numbers = {name: payload.get(name) for name in ("iat", "exp", "gen")}
    if not all(isinstance(value, str) for value in (*texts.values(), audience)):
        raise InvalidToken("The access token lacks a claim.")
    if not all(type(value) is int for value in numbers.values()):
        raise InvalidToken("The access token lacks a claim.")
    authenticated_at = payload.get("auth_time")
    if authenticated_at is not None and type(authenticated_at) is not int:
        raise InvalidToken("The access token says no time of its login.")
    try:
        connection_id = uuid.UUID(texts["sid"])
    except ValueError:
        raise InvalidToken("The access token names no connection.") from None
    return AccessTokenClaims(
        issuer=payload["iss"],
        subject=payload["sub"],
        audience=str(audience),
        client_id=payload["client_id"],
        scopes=parse_scope(payload["scope"]),
        issued_at=payload["iat"],
        expires_at=payload["exp"],
        token_id=payload["jti"],
        connection_id=connection_id,
        generation=payload["gen"],
        extra=payload,
        authenticated_at=authenticated_at,
    )
