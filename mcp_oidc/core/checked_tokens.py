"""Access tokens whose signature was checked already, by this process.

Only the signature and the form of a token are remembered: issuer, audience and times are looked at each time, and so
is whether its key is still published. What is refused is not remembered.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from mcp_oidc.core.keys import find_key
from mcp_oidc.core.recent import Recent
from mcp_oidc.protocol.access_tokens import AccessTokenClaims, KeyFinder, read_access_token, require_good
from mcp_oidc.protocol.jwks import SigningJwk
from mcp_oidc.protocol.jwts import MAX_TOKEN_LENGTH

# Some three kilobytes each.
MAX_CHECKED = 10_000


class _Checked(NamedTuple):
    key: SigningJwk
    claims: AccessTokenClaims


_checked: Recent[bytes, _Checked] = Recent(MAX_CHECKED)


def checked_claims(
    token: str, *, issuer: str, audience: str | None, find_key: KeyFinder = find_key
) -> AccessTokenClaims:
    """The claims of a token that `issuer` signed for `audience` (None: for any) and that has not expired.

    Raises `InvalidToken` for everything else (RFC 9068 4), and what `find_key` raises.
    """
    claims = _claims_of(token, find_key, issuer)
    require_good(claims, issuer=issuer, audience=audience)
    return claims


def forget_checked() -> None:
    """Check every signature again."""
    _checked.clear()


def _claims_of(token: str, find_key: KeyFinder, issuer: str) -> AccessTokenClaims:
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        # Refused, and not worth a digest.
        return read_access_token(token, find_key, issuer=issuer)
    # The digest, because tokens are secrets.
    digest = hashlib.sha256(token.encode()).digest()
    known = _checked.get(digest)
    if known is not None:
        key = find_key(known.key.kid)
        # Nearly always it is the very same one, which need not be compared.
        if key is known.key or key == known.key:
            return known.claims
    return _check(token, digest, find_key, issuer)


def _check(token: str, digest: bytes, find_key: KeyFinder, issuer: str) -> AccessTokenClaims:
    used: list[SigningJwk] = []

    def note(kid: str) -> SigningJwk | None:
        key = find_key(kid)
        used.extend([key] if key is not None else [])
        return key

    claims = read_access_token(token, note, issuer=issuer)
    _checked.put(digest, _Checked(used[-1], claims))
    return claims
