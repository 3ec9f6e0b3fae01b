"""JSON Web Tokens (RFC 7519): signing one, and reading one whose key is looked up by its header."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import Key

from mcp_oidc.protocol.jwks import SigningJwk

MAX_TOKEN_LENGTH = 16 * 1024


class BadJwt(Exception):
    """Not a JWT, or its signature does not hold."""


class _Registry(jws.JWSRegistry):
    # Identity providers put certificates into the header.
    max_header_length = 4096

    def get_alg(self, name: str) -> Any:
        # The library warns of EdDSA (RFC 9864 renames it), but that name is what verifiers in the field know.
        if name not in (self.allowed or ()) or name not in self.algorithms:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


def sign_jwt(claims: Mapping[str, Any], key: SigningJwk, *, typ: str, named_by: Mapping[str, str] | None = None) -> str:
    """`claims` as a JWT, signed with `key`. Its header says by `named_by` which key that is, or else by the `kid`."""
    header = {"alg": key.algorithm, "typ": typ, **({"kid": key.kid} if named_by is None else named_by)}
    return jwt.encode(header, dict(claims), key.key, registry=_Registry(algorithms=[key.algorithm]))


def read_jwt(text: str, find_key: Callable[[Mapping[str, Any]], Key], *, algorithms: Collection[str]) -> dict[str, Any]:
    """The payload of a JWT whose signature holds. `find_key` gets the header and raises `BadJwt` for one it refuses.

    Whatever key or URL the header itself carries is never used. Raises `BadJwt`.
    """
    if len(text) > MAX_TOKEN_LENGTH or not text.isascii():
        raise BadJwt("it is malformed")
    # RFC 7515 4: header parameters that are not understood are ignored, unless `crit` names them.
    registry = _Registry(algorithms=algorithms, strict_check_header=False)
    try:
        return dict(jwt.decode(text, lambda signed: find_key(signed.headers()), registry=registry).claims)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadJwt(f"it is malformed or its signature is wrong ({type(error).__name__})") from None
