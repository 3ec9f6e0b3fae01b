"""JSON Web Keys (RFC 7517): our own signing keys, the identity provider's, and the set that `/jwks` publishes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key
from jwcrypto.common import JWException
from jwcrypto.jwk import JWK

# What we sign with. A verifier accepts more of the identity provider's, see upstream.
SIGNING_ALGORITHMS = ("RS256", "ES256", "EdDSA")
_GENERATE: Mapping[str, Mapping[str, Any]] = {
    "RS256": {"kty": "RSA", "size": 2048},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
_SUITS = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_MIN_RSA_BITS = 2048
# What the libraries raise for members that are no key.
_UNREADABLE = (JWException, JoseError, ValueError, TypeError, KeyError)
# As long as the column that holds it; joserfc refuses a header that is much longer.
MAX_KID_LENGTH = 128


@dataclass(frozen=True)
class SigningJwk:
    """One key: its id, the one algorithm it is used with, and its material as the members of a JWK."""

    kid: str
    algorithm: str
    members: Mapping[str, str] = field(repr=False)

    @property
    def is_private(self) -> bool:
        """Whether it can sign, and not only verify."""
        return "d" in self.members

    @property
    def public(self) -> dict[str, str]:
        """The members that `/jwks` publishes."""
        public = json.loads(JWK(**_material(self.members)).export_public())
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    @property
    def private(self) -> dict[str, str]:
        """All members. Never to be published, logged or stored in clear."""
        return {**_material(self.members), "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    @cached_property
    def key(self) -> Key:
        """The key as the JOSE code takes it. Parsing costs more than a signature, so it is kept."""
        return import_key(_material(self.members))


def generate_jwk(algorithm: str) -> SigningJwk:
    """A fresh private key whose `kid` is its thumbprint (RFC 7638)."""
    members = json.loads(JWK.generate(**_GENERATE[algorithm]).export_private())
    return SigningJwk(_thumbprint(members), algorithm, members)


def parse_private_jwks(source: str | Mapping[str, Any]) -> tuple[SigningJwk, ...]:
    """The signing keys in a JWK Set, or in a single JWK, as text or dict.

    Raises `ValueError` with a message that names the key and the way out and holds no key material.
    """
    document = _load(source)
    entries = document.get("keys", [document])
    if not isinstance(entries, list) or not entries:
        raise ValueError("The JWK Set holds no key.")
    keys = tuple(_parse_private(entry, number) for number, entry in enumerate(entries, start=1))
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("Two keys of the JWK Set have the same kid.")
    return keys


def public_jwks(keys: Iterable[SigningJwk]) -> dict[str, list[dict[str, str]]]:
    """The JWK Set to publish."""
    return {"keys": [key.public for key in keys]}


def _load(source: str | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, str):
        if source.lstrip().startswith("-----BEGIN"):
            raise ValueError("The JWK Set is a key in PEM, but must be JSON.")
        try:
            source = json.loads(source)
        except (ValueError, RecursionError):
            raise ValueError("The JWK Set is not valid JSON.") from None
    if not isinstance(source, Mapping):
        # A ValueError like every other wrong content: the caller reports it, whatever the content was.
        raise ValueError("The JWK Set is not a JSON object.")
    return source


def _parse_private(entry: object, number: int) -> SigningJwk:
    if not isinstance(entry, Mapping):
        raise ValueError(f"Key {number} of the JWK Set is not a JSON object.")
    members = _material(entry)
    algorithm = _SUITS.get((str(members.get("kty")), str(members.get("crv", ""))))
    if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
        raise ValueError(f"Key {number} of the JWK Set is not for one of {', '.join(SIGNING_ALGORITHMS)}.")
    _require_strong(members, number)
    _require_private(members, number)
    return SigningJwk(_kid(entry, number) or _thumbprint(members), algorithm, members)


def _kid(entry: Mapping[str, Any], number: int) -> str:
    kid = entry.get("kid") or ""
    # RFC 7517 4.5; the header of a JWT could not carry anything else.
    if not isinstance(kid, str):
        raise ValueError(f"The kid of key {number} of the JWK Set is not a string.")
    if len(kid) > MAX_KID_LENGTH:
        raise ValueError(f"The kid of key {number} of the JWK Set is longer than {MAX_KID_LENGTH} characters.")
    return kid


def _require_strong(members: Mapping[str, Any], number: int) -> None:
    try:
        bits = JWK(**members).get_op_key("verify").key_size if members["kty"] == "RSA" else _MIN_RSA_BITS
    except _UNREADABLE:
        raise ValueError(f"Key {number} of the JWK Set is not a valid JWK.") from None
    if bits < _MIN_RSA_BITS:
        raise ValueError(f"Key {number} of the JWK Set is an RSA key of less than {_MIN_RSA_BITS} bits.")


def _require_private(members: Mapping[str, Any], number: int) -> None:
    if "d" not in members:
        raise ValueError(f"Key {number} of the JWK Set is not a private key: it has no member d.")
    try:
        # Imported by the code that will use it, so that a wrong key shows now and not at the first login.
        private: Any = import_key(dict(members)).private_key
        public = JWK(**members).get_op_key("verify")
    except _UNREADABLE:
        raise ValueError(f"Key {number} of the JWK Set is not a valid JWK.") from None
    if private is None or private.public_key() != public:
        raise ValueError(f"The private half of key {number} of the JWK Set does not belong to its public half.")


def _material(members: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kty", "crv", "x", "y", "n", "e", "d", "p", "q", "dp", "dq", "qi")
    return {name: members[name] for name in names if name in members}


def _thumbprint(members: Mapping[str, Any]) -> str:
    return str(JWK(**_material(members)).thumbprint())
