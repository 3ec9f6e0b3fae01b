"""Proof Key for Code Exchange (RFC 7636), S256 only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def is_challenge(text: str) -> bool:
    """Whether `text` can be an S256 challenge: 256 bits in base64url."""
    return bool(_CHALLENGE.fullmatch(text))


def is_verifier(text: str) -> bool:
    """Whether `text` can be a verifier (RFC 7636 4.1)."""
    return bool(_VERIFIER.fullmatch(text))


def challenge_for(verifier: str) -> str:
    """The S256 challenge of `verifier` (RFC 7636 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode()


def is_verified(verifier: str, challenge: str) -> bool:
    """Whether `verifier` is the one behind `challenge`, in constant time (RFC 7636 4.6)."""
    return is_verifier(verifier) and hmac.compare_digest(challenge_for(verifier), challenge)


def new_verifier() -> str:
    """A fresh verifier of 384 random bits."""
    return secrets.token_urlsafe(48)
