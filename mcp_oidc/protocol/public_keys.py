"""Public keys that others publish as a JWK Set: which of them a signature must be checked with (RFC 7517, RFC 7515)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import Key, import_key

# Key type and curve by algorithm. Not "none", and no HMAC: a public key is no shared secret.
_SUITS: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
ALGORITHMS = frozenset(_SUITS)

_PUBLIC_MEMBERS = ("kty", "crv", "x", "y", "n", "e")
_MIN_RSA_BITS = 2048
_ANY_TENANT = "{tenantid}"


@dataclass(frozen=True)
class PublicKey:
    """A public key that signatures may be checked with."""

    kid: str | None
    algorithm: str | None
    kty: str
    curve: str | None
    key: Key
    # Whom it signs for, where the set says so: an issuer, or all of a pattern. Entra's keys do.
    issuer: str | None = None

    def suits(self, algorithm: str) -> bool:
        """Whether this key may be used with `algorithm`: its own, and one for its type and curve."""
        return self.algorithm in (None, algorithm) and _SUITS.get(algorithm) == (self.kty, self.curve)

    def signs_for(self, issuer: str | None) -> bool:
        """Whether this key may speak for `issuer`; None asks for nobody in particular."""
        if self.issuer is None or issuer is None:
            return True
        beginning, placeholder, end = self.issuer.partition(_ANY_TENANT)
        return issuer.startswith(beginning) and issuer.endswith(end) if placeholder else issuer == self.issuer


PublicKeys = tuple[PublicKey, ...]


def parse_public_keys(document: object) -> PublicKeys:
    """The keys of a JWK Set that can check a signature; others are left out, since a set may hold any kind.

    Raises `ValueError` for what is no JWK Set.
    """
    entries = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError("it is not a JWK Set")
    parsed = (_parse_key(entry) for entry in entries if isinstance(entry, Mapping))
    return tuple(key for key in parsed if key is not None)


def find_key(keys: PublicKeys, header: Mapping[str, Any], *, issuer: str | None = None) -> Key | None:
    """The key for a JWT of this header; None where there is none or it is ambiguous.

    With an `issuer`, keys that the set reserves for another are left out.
    """
    kid, algorithm = header.get("kid"), str(header.get("alg"))
    suitable = [key for key in keys if key.suits(algorithm) and key.signs_for(issuer)]
    named = [key for key in suitable if key.kid is not None and key.kid == kid]
    # RFC 7515 4.1.4: `kid` is a hint that either side may leave out. Without it, only one key may come into question.
    nameless = suitable if kid is None else [key for key in suitable if key.kid is None]
    matching = named or nameless
    return matching[0].key if len(matching) == 1 else None


def _parse_key(entry: Mapping[str, Any]) -> PublicKey | None:
    operations = entry.get("key_ops", ["verify"])
    if entry.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    kid, algorithm, kty, curve, issuer = (entry.get(name) for name in ("kid", "alg", "kty", "crv", "issuer"))
    texts = (kid, algorithm, curve, issuer)
    if kty not in ("RSA", "EC", "OKP") or not all(isinstance(text, str | None) for text in texts):
        return None
    try:
        if kty == "RSA" and int.from_bytes(urlsafe_b64decode(entry["n"] + "==")).bit_length() < _MIN_RSA_BITS:
            return None
        key = import_key({name: entry[name] for name in _PUBLIC_MEMBERS if name in entry})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    curve = curve if kty != "RSA" else None
    return PublicKey(kid=kid, algorithm=algorithm, kty=kty, curve=curve, key=key, issuer=issuer)
