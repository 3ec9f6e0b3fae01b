"""Our own key at the identity provider: what CLIENT_KEY holds, and which signature the provider takes of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from mcp_oidc.protocol.jwks import SigningJwk, parse_private_jwks

# By the algorithm that we sign with ourselves. The first is used where the provider does not say.
_ALGORITHMS: Mapping[str, tuple[str, ...]] = {"RS256": ("RS256", "PS256"), "ES256": ("ES256",), "EdDSA": ("EdDSA",)}


@dataclass(frozen=True)
class ClientKey:
    """A private key, once for each algorithm that it may be used with."""

    signers: tuple[SigningJwk, ...] = field(repr=False)
    # What the provider was told of it: its `kid`, and the thumbprint of its certificate.
    named_by: Mapping[str, str]

    @property
    def algorithms(self) -> tuple[str, ...]:
        return tuple(signer.algorithm for signer in self.signers)

    def signer_for(self, offered: Collection[str]) -> SigningJwk | None:
        """The first whose algorithm is `offered`, which is empty where the provider does not say. None: no such."""
        return next((signer for signer in self.signers if not offered or signer.algorithm in offered), None)


def parse_client_key(members: Mapping[str, Any]) -> ClientKey:
    """The key of a private JWK: RSA (RS256, PS256), P-256 (ES256) or Ed25519 (EdDSA); its `alg` narrows that down.

    Raises `ValueError` with a message that holds nothing of the key.
    """
    return _parse(json.dumps(members, default=str))


@lru_cache(maxsize=2)
def _parse(text: str) -> ClientKey:
    # Once: with its check an RSA key takes as long as many signatures.
    members = json.loads(text)
    if "keys" in members:
        raise ValueError("It is a set of keys, but must be one key.")
    # Not by its `alg`, which may be PS256: as an authorization server we do not sign so.
    (jwk,) = parse_private_jwks({name: value for name, value in members.items() if name != "alg"})
    algorithms = _ALGORITHMS[jwk.algorithm]
    wanted = members.get("alg", algorithms[0])
    if wanted not in algorithms:
        raise ValueError(f"Its alg does not suit it: it must be {' or '.join(algorithms)}, or be left out.")
    used = (wanted,) if "alg" in members else algorithms
    return ClientKey(tuple(replace(jwk, algorithm=algorithm) for algorithm in used), _names(members))


def _names(members: Mapping[str, Any]) -> dict[str, str]:
    # RFC 7515 4.1.4, 4.1.8. Microsoft Entra knows a key by its certificate.
    names = [name for name in ("kid", "x5t#S256") if members.get(name)]
    if not all(isinstance(members[name], str) for name in names):
        raise ValueError("Its kid and its x5t#S256 must be strings.")
    return {name: members[name] for name in names}
