"""ID tokens: everything that OpenID Connect Core 3.1.3.7 has a relying party check. Errors name the check, no more."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_oidc.errors import UpstreamError
from mcp_oidc.protocol.claims import token_hash
from mcp_oidc.upstream.signed_claims import (
    LEEWAY,
    KeyFinder,
    failed,
    is_same,
    moment,
    read_signed,
    require_audience,
    require_current,
    require_issuer,
    unverified_claims,
)

MAX_SUB_LENGTH = 255
_DOCUMENT = "the ID token"


@dataclass(frozen=True)
class Expected:
    """What the ID token of this very login has to say. `max_age` is in seconds, None where it was not asked."""

    issuer: str
    client_id: str
    nonce: str
    access_token: str
    max_age: int | None

    def __repr__(self) -> str:
        return f"Expected(issuer={self.issuer!r}, client_id={self.client_id!r})"


def verify_id_token(
    text: str, find_key: KeyFinder, *, algorithms: Collection[str], expected: Expected
) -> dict[str, Any]:
    """The claims of an ID token that passes every check. `algorithms` are those of the provider's metadata.

    Raises `UpstreamError` that names the failed check and holds nothing of the token.
    """
    # The signature comes first: nothing of a token that is not the provider's is looked at.
    claims, algorithm = read_signed(text, find_key, algorithms=algorithms, document=_DOCUMENT)
    _require_parties(claims, expected)
    _require_times(claims, expected)
    _require_login(claims, expected, algorithm=algorithm)
    return claims


def peek(text: str) -> dict[str, Any]:
    """What an ID token claims before anything of it is verified. Raises `UpstreamError` for what is no JWT."""
    return unverified_claims(text, document=_DOCUMENT)


def check_failed(check: str, why: str) -> UpstreamError:
    """The error for a check of an ID token that only some provider needs."""
    return failed(_DOCUMENT, check, why)


def require_same_user(refreshed: str, original: str) -> None:
    """Check a refreshed ID token against the one of the login (OpenID Connect Core 12.2). Raises `UpstreamError`.

    Its signature is left alone: it came from the token endpoint over TLS (3.1.3.7, rule 6), and fetching keys here
    would hold up a refresh token that has been rotated and is not stored yet.
    """
    new, old = peek(refreshed), peek(original)
    for claim in ("iss", "sub"):
        if new.get(claim) != old.get(claim):
            raise check_failed(claim, "a refresh brought somebody else's ID token")
    if not _audiences(old) <= _audiences(new):
        raise check_failed("aud", "a refresh brought an ID token for another client")


def _audiences(claims: Mapping[str, Any]) -> set[str]:
    audience = claims.get("aud")
    return {text for text in ([audience] if isinstance(audience, str) else audience or []) if isinstance(text, str)}


def _require_parties(claims: Mapping[str, Any], expected: Expected) -> None:
    require_issuer(claims, expected.issuer, document=_DOCUMENT)
    audiences = require_audience(claims, expected.client_id, document=_DOCUMENT)
    # Another audience is trusted only where the provider says that the token was issued to us.
    if len(audiences) > 1 and "azp" not in claims:
        raise check_failed("azp", "missing beside several audiences")
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise check_failed("azp", "issued to another client")
    sub = claims.get("sub")
    if not isinstance(sub, str) or not 0 < len(sub) <= MAX_SUB_LENGTH or "\0" in sub:
        raise check_failed("sub", "missing or not a short text")


def _require_times(claims: Mapping[str, Any], expected: Expected) -> None:
    for name in ("exp", "iat"):
        moment(claims, name, document=_DOCUMENT)
    require_current(claims, document=_DOCUMENT)
    if expected.max_age is None:
        return
    # OpenID Connect Core 2: required where max_age was asked for. Without it nobody knows how old the login is.
    if "auth_time" not in claims:
        raise check_failed("auth_time", "missing, and max_age was asked for: the provider does not support it")
    if time.time() - moment(claims, "auth_time", document=_DOCUMENT) > expected.max_age + LEEWAY:
        raise check_failed("auth_time", "the login is older than was asked for")


def _require_login(claims: Mapping[str, Any], expected: Expected, *, algorithm: str) -> None:
    if not is_same(claims.get("nonce"), expected.nonce):
        raise check_failed("nonce", "of another login")
    if "at_hash" in claims and not is_same(claims["at_hash"], token_hash(expected.access_token, algorithm)):
        raise check_failed("at_hash", "for another access token")
