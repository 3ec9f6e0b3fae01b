"""Tokens that no honest server issues: each is a good one with something about it changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from mcp_oidc.protocol.jwks import SigningJwk


def claims_of(token: str) -> dict[str, Any]:
    """The payload of a JWT."""
    return _decode(token.split(".")[1])


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT."""
    return _decode(token.split(".")[0])


def forge(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
    """A JWT signed with RS256, whatever its header says."""
    signed = _signing_input(header, claims)
    return f"{signed}.{_b64(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def forge_unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """A JWT without a signature."""
    return f"{_signing_input(header, claims)}."


def forge_with_public_key(header: dict[str, Any], claims: dict[str, Any], key: rsa.RSAPrivateKey) -> str:
    """A JWT with an HMAC whose secret is the text of the public key, which everybody has (RFC 8725 2.1)."""
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = _signing_input(header, claims)
    return f"{signed}.{_b64(hmac.digest(public, signed.encode(), hashlib.sha256))}"


def private_key_of(key: SigningJwk) -> rsa.RSAPrivateKey:
    """Our own signing key, as only we have it."""
    # Making the object takes longer than most tests.
    return _private_key(json.dumps(dict(key.members)))


@lru_cache(maxsize=8)
def _private_key(text: str) -> rsa.RSAPrivateKey:
    members = json.loads(text)
    numbers = {name: int.from_bytes(_unb64(members[name])) for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")}
    return rsa.RSAPrivateNumbers(
        p=numbers["p"],
        q=numbers["q"],
        d=numbers["d"],
        dmp1=numbers["dp"],
        dmq1=numbers["dq"],
        iqmp=numbers["qi"],
        public_numbers=rsa.RSAPublicNumbers(e=numbers["e"], n=numbers["n"]),
    ).private_key()


def public_jwk_of(key: rsa.RSAPrivateKey) -> dict[str, str]:
    """The JWK of an attacker's key, as a header might carry it."""
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": _b64(numbers.n.to_bytes(256)), "e": "AQAB"}


def _signing_input(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return f"{_b64(json.dumps(header).encode())}.{_b64(json.dumps(claims).encode())}"


def _decode(part: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(_unb64(part))
    return decoded


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
