"""The public keys of a client that authenticates with `private_key_jwt` (RFC 7591 2): a JWK Set, or where one is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.protocol.public_keys import ALGORITHMS, parse_public_keys
from mcp_oidc.protocol.uris import check_web_uri, is_loopback

MAX_KEYS = 10
# An RSA modulus of 8,192 bits in base64url; a longer one would make each verification a burden.
MAX_MEMBER_LENGTH = 1366
_PUBLIC = ("kty", "kid", "alg", "use", "crv", "x", "y", "n", "e")
# Also `k`: a secret that both sides share is for the client_secret methods.
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


def check_client_jwks(document: object) -> dict[str, list[dict[str, str]]]:
    """The keys of a client's JWK Set that a signature can be checked with, cut down to the members that describe them.

    Others are left out (RFC 7517 5). Raises `ValueError` for a set without such a key, with too many or too long ones,
    or with one that is private.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError("it must be a JWK Set")
    if len(entries) > MAX_KEYS:
        raise ValueError(f"it holds more than {MAX_KEYS} keys")
    described = [_public_members(entry, number) for number, entry in enumerate(entries, start=1)]
    usable = [key for key in described if _is_usable(key)]
    if not usable:
        raise ValueError("it holds no key that a signature can be checked with")
    return {"keys": usable}


def check_jwks_uri(uri: object) -> str:
    """Return `uri` if a client's keys may be fetched from there. Raises `ValueError`."""
    text = check_web_uri(uri)
    # Whoever could change the answer on its way could sign in as the client.
    if urlsplit(text).scheme != "https" and not is_loopback(text):
        raise ValueError("it must be an https URL")
    return text


def _is_usable(members: Mapping[str, str]) -> bool:
    keys = parse_public_keys({"keys": [members]})
    return any(key.suits(algorithm) for key in keys for algorithm in ALGORITHMS)


def _public_members(entry: Mapping[str, Any], number: int) -> dict[str, str]:
    if _PRIVATE & set(entry):
        raise ValueError(f"key {number} holds private members")
    members = {name: entry[name] for name in _PUBLIC if entry.get(name) is not None}
    for name, value in members.items():
        if not isinstance(value, str) or len(value) > MAX_MEMBER_LENGTH:
            raise ValueError(f"{name} of key {number} must be a string of at most {MAX_MEMBER_LENGTH} characters")
    return members
