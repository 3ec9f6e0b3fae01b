"""What the identity provider signs, ID tokens and userinfo: the checks that both have to pass.

Errors name the document and the check that failed, and hold nothing of either.
"""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from joserfc.jwk import Key

from mcp_oidc.errors import UpstreamError
from mcp_oidc.protocol.jwts import BadJwt, read_jwt
from mcp_oidc.protocol.public_keys import ALGORITHMS

# Seconds that the provider's clock may be off.
LEEWAY = 60
_LAST_MOMENT = 1e11

KeyFinder = Callable[[Mapping[str, Any]], Key]


def read_signed(
    text: str, find_key: KeyFinder, *, algorithms: Collection[str], document: str
) -> tuple[dict[str, Any], str]:
    """The claims of a JWT whose signature holds, and the algorithm of it: one of `algorithms`, and never `none`.

    Raises `UpstreamError`, which calls the JWT `document`.
    """
    # RFC 7516 9: five parts are an encrypted one.
    if text.count(".") == 4:
        raise failed(document, "encryption", "it is encrypted, so turn that off for this client at the provider")
    seen: dict[str, Any] = {}

    def key_for(header: Mapping[str, Any]) -> Key:
        seen.update(header)
        return find_key(header)

    try:
        return read_jwt(text, key_for, algorithms=ALGORITHMS & set(algorithms)), str(seen["alg"])
    except BadJwt as error:
        raise failed(document, "signature", str(error)) from None


def unverified_claims(text: str, *, document: str) -> dict[str, Any]:
    """What a JWT claims, for whoever verifies it afterwards or had it over TLS. Raises `UpstreamError`."""
    try:
        encoded = text.split(".")[1]
        payload = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (IndexError, ValueError, RecursionError):
        raise failed(document, "form", "not a JWT") from None
    if not isinstance(payload, dict):
        raise failed(document, "form", "not a JSON object")
    return payload


def require_issuer(claims: Mapping[str, Any], issuer: str, *, document: str) -> None:
    """Check `iss`, character for character."""
    if claims.get("iss") != issuer:
        raise failed(document, "iss", "another issuer")


def require_audience(claims: Mapping[str, Any], client_id: str, *, document: str) -> list[Any]:
    """Check that `client_id` is among the audiences, and return them."""
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    if not isinstance(audiences, list) or client_id not in audiences:
        raise failed(document, "aud", "for another client")
    return audiences


def require_current(claims: Mapping[str, Any], *, document: str) -> None:
    """Check those of `exp`, `iat` and `nbf` that are there."""
    now = time.time()
    if "exp" in claims and now >= moment(claims, "exp", document=document) + LEEWAY:
        raise failed(document, "exp", "expired")
    for name in ("iat", "nbf"):
        if name in claims and moment(claims, name, document=document) > now + LEEWAY:
            raise failed(document, name, "from the future")


def moment(claims: Mapping[str, Any], name: str, *, document: str) -> float:
    """The time that a claim names, in seconds since 1970."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise failed(document, name, "missing or not a number")
    # Python compares numbers of any size, NaN and infinity included, and no float is made of them here.
    if not 0 <= value < _LAST_MOMENT:
        raise failed(document, name, "not a time")
    return value


def is_same(claim: object, expected: str) -> bool:
    """Whether a claim is exactly this text, in a time that does not depend on where they differ."""
    return isinstance(claim, str) and hmac.compare_digest(claim.encode(errors="replace"), expected.encode())


def failed(document: str, check: str, why: str) -> UpstreamError:
    """The error for a check that failed."""
    return UpstreamError(f"{document} failed the check of {check}: {why}")
