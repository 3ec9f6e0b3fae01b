"""Client assertions: a JWT that a client signs with its own key to prove itself (RFC 7523, OpenID Connect Core 9)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import Key

from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.protocol.jwts import MAX_TOKEN_LENGTH, BadJwt, read_jwt

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Never "none", and no HMAC: clients with a shared secret have the client_secret methods.
ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
# Seconds. A longer life would keep its id in the database for longer, and a stolen one good for longer.
MAX_LIFETIME = 600
LEEWAY = 30
_MAX_TOKEN_ID = 1000

FindKey = Callable[[Mapping[str, Any]], Key]


@dataclass(frozen=True)
class Assertion:
    """An assertion that holds, and may be used once. `forgotten_at`: when it is refused for its age alone, in epoch
    seconds."""

    token_id: str
    forgotten_at: int


def claimed_client_id(text: str) -> str:
    """The client that an assertion says it comes from; nothing of it is proven yet. Raises `BadJwt`."""
    parts = text.split(".")
    if len(text) > MAX_TOKEN_LENGTH or len(parts) != 3:
        raise BadJwt("it is malformed")
    try:
        claims = parse_json_object(urlsafe_b64decode(parts[1] + "=="))
    except (ValueError, InvalidRequest):
        raise BadJwt("it is malformed") from None
    if not isinstance(claims.get("sub"), str):
        raise BadJwt("it names no client")
    return str(claims["sub"])


def read_assertion(
    text: str, find_key: FindKey, *, client_id: str, audiences: Collection[str], now: float
) -> Assertion:
    """The assertion, if it was signed by `client_id` for one of `audiences` and its time is now (epoch seconds).

    `find_key` gets its header, whose algorithm is one of ours. Raises `BadJwt`, and whatever `find_key` raises.
    """

    def find(header: Mapping[str, Any]) -> Key:
        # Before a key is looked for, which may cost a request.
        if header.get("alg") not in ALGORITHMS:
            raise BadJwt("its algorithm is not allowed")
        return find_key(header)

    claims = read_jwt(text, find, algorithms=ALGORITHMS)
    _require_parties(claims, client_id, audiences)
    _require_time(claims, now)
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not 0 < len(token_id) <= _MAX_TOKEN_ID:
        raise BadJwt("it has no jti")
    return Assertion(token_id, int(claims["exp"]) + LEEWAY + 1)


def _require_parties(claims: Mapping[str, Any], client_id: str, audiences: Collection[str]) -> None:
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise BadJwt("iss and sub are not both the client")
    audience = claims.get("aud")
    named = audience if isinstance(audience, list) else [audience]
    # Every one of them: what another server was sent as well, that server could send to us.
    if not named or not all(isinstance(name, str) and name in audiences for name in named):
        raise BadJwt("aud is not this server")


def _require_time(claims: Mapping[str, Any], now: float) -> None:
    if not _is_number(claims.get("exp")) or not now - LEEWAY <= claims["exp"] <= now + MAX_LIFETIME + LEEWAY:
        raise BadJwt(f"exp is missing, past, or more than {MAX_LIFETIME} seconds ahead")
    for name in ("iat", "nbf"):
        if name in claims and not (_is_number(claims[name]) and claims[name] <= now + LEEWAY):
            raise BadJwt(f"{name} is in the future")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
