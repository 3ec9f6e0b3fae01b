"""The test provider's keys and signatures, forged ones included."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key
from joserfc.jws import JWSRegistry, deserialize_compact, serialize_compact
from joserfc.registry import HeaderParameter

_CURVES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521", "EdDSA": "Ed25519"}


def key_of(algorithm: str, name: str) -> Key:
    """The private key of this name for `algorithm`. Its name is its `kid`."""
    return _make_key(_CURVES.get(algorithm, "RSA"), name)


def sign(
    claims: Mapping[str, Any], algorithm: str, key_name: str, *, header: Mapping[str, Any], forgery: str = ""
) -> str:
    """A JWT. `forgery` is "none" for no signature, or "HS256" for the public key used as if it were a secret."""
    key = key_of(algorithm, key_name)
    whole_header = merged({"alg": forgery or algorithm, "kid": key.kid, "typ": "JWT"}, header)
    if forgery:
        return _forge(whole_header, claims, key, forgery)
    with warnings.catch_warnings():
        # Of EdDSA, which RFC 9864 renames.
        warnings.simplefilter("ignore", SecurityWarning)
        return serialize_compact(whole_header, json.dumps(claims), key, registry=_lenient(algorithm))


def read_assertion(text: str, public_jwk: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a client's assertion, whose signature is checked. Raises `JoseError`."""
    header = json.loads(base64.urlsafe_b64decode(text.split(".")[0] + "=="))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        # Not by the algorithm of the key, which may be used with another one of its kind.
        key = import_key({name: value for name, value in public_jwk.items() if name != "alg"})
        signed = deserialize_compact(text, key, algorithms=[header["alg"]])
    return header, json.loads(signed.payload)


def token_hash(token: str, algorithm: str) -> str:
    """`at_hash`, written a second time, so that a mistake of ours does not agree with itself."""
    bits = "512" if algorithm == "EdDSA" else algorithm[-3:]
    digest = hashlib.new(f"sha{bits}", token.encode()).digest()
    return to_base64(digest[: len(digest) // 2])


def merged(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`document` with `changes`, of which None takes a member away."""
    return {name: value for name, value in {**document, **changes}.items() if value is not None}


def to_base64(raw: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _forge(header: Mapping[str, Any], claims: Mapping[str, Any], key: Key, forgery: str) -> str:
    signed = ".".join(to_base64(json.dumps(part).encode()) for part in (header, claims))
    # RFC 8725 2.1: confusion of the algorithm.
    mac = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256") if forgery == "HS256" else b""
    return f"{signed}.{to_base64(mac)}"


def _lenient(algorithm: str) -> JWSRegistry:
    vendor = HeaderParameter("what only this provider knows", "str")
    registry = JWSRegistry({"vendor": vendor}, algorithms=[algorithm], strict_check_header=False)
    registry.max_header_length = 8192
    return registry


@lru_cache(maxsize=16)
def _make_key(kind: str, name: str) -> Key:
    # Once for each name: RSA keys take longer than most tests.
    if kind == "RSA":
        return RSAKey.generate_key(2048, {"kid": name})
    maker = OKPKey if kind == "Ed25519" else ECKey
    return maker.generate_key(kind, {"kid": name})
