"""Claims about a user (OpenID Connect Core 5): which of them a scope opens, and the hashes in an ID token."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping
from typing import Any

# OpenID Connect Core 5.4, as far as MCP clients have a use for it.
_CLAIMS_OF_SCOPE: Mapping[str, tuple[str, ...]] = {
    "profile": (
        "name",
        "family_name",
        "given_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "updated_at",
    ),
    "email": ("email", "email_verified"),
}

CLAIMS_SUPPORTED = ("sub", *(claim for claims in _CLAIMS_OF_SCOPE.values() for claim in claims))

# By algorithm, OpenID Connect Core 3.1.3.6. Ed25519 hashes with SHA-512.
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512, "DSA": hashlib.sha512}


def released_claims(claims: Mapping[str, Any], scopes: Collection[str]) -> dict[str, Any]:
    """Those of a user's claims that `scopes` release. Nulls are left out: zod takes none where a claim is optional."""
    allowed = [claim for scope, names in _CLAIMS_OF_SCOPE.items() if scope in scopes for claim in names]
    return {claim: claims[claim] for claim in allowed if claims.get(claim) is not None}


def token_hash(token: str, algorithm: str) -> str:
    """`at_hash` (OpenID Connect Core 3.1.3.6): the left half of the token's hash, in base64url."""
    hasher = _HASHES.get(algorithm[-3:], hashlib.sha512)
    digest = hasher(token.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
