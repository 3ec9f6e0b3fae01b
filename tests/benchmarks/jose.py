"""Which library verifies signatures fastest: each verifies the same access token, in one process and one thread.

    python tests/benchmarks/jose.py [--repeat 1000]

`joserfc` is what `mcp_oidc.protocol.jwts` uses; `cryptography` is what all of them call. PyJWT is measured where it is
installed. Keys are parsed beforehand. Processor time for each; compare within a run only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import timeit
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# In the place of this directory, in which `resource` would be a module of ours and not Python's.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from cryptography.hazmat.primitives.asymmetric import ec, padding, utils  # noqa: E402
from cryptography.hazmat.primitives.hashes import SHA256  # noqa: E402
from joserfc import jws  # noqa: E402
from jwcrypto.jwk import JWK  # noqa: E402
from jwcrypto.jws import JWS  # noqa: E402

from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk  # noqa: E402
from mcp_oidc.protocol.jwts import read_jwt, sign_jwt  # noqa: E402

ALGORITHMS = ("RS256", "ES256")
CLAIMS = {
    "iss": "https://mcp.example.com",
    "sub": "5c1b7f6e-5f0b-4a94-9d6b-0b5f2f0c7a11",
    "aud": "https://mcp.example.com/mcp",
    "client_id": "https://client.example.com/oauth/metadata.json",
    "scope": "openid mcp notes:write",
    "iat": 1_800_000_000,
    "exp": 4_000_000_000,
    "jti": "uT0WZJ1y3a6oZ2m1rN3Kgw",
    "sid": "8088214f-108d-49e8-9528-9dc1898de08e",
    "gen": 3,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=1000)
    repeat = parser.parse_args().repeat
    print(f"{'':36}{'µs':>8}{'ratio':>8}")
    for algorithm in ALGORITHMS:
        bare = 0.0
        for name, verify in contenders(algorithm).items():
            seconds = min(timeit.repeat(verify, number=repeat // 5, repeat=5, timer=time.process_time)) / (repeat // 5)
            bare = bare or seconds
            print(f"{algorithm + ': ' + name:36}{seconds * 1e6:>8.1f}{seconds / bare:>8.2f}", flush=True)


def contenders(algorithm: str) -> dict[str, Callable[[], Any]]:
    """The first is what the others are compared with. Each raises for a signature that does not hold."""
    key = generate_jwk(algorithm)
    token = sign_jwt(CLAIMS, key, typ="at+jwt")
    listed = {
        "cryptography, the signature alone": by_cryptography(key, token),
        "joserfc": by_joserfc(key, token, algorithm),
        "ours (joserfc, and the form)": lambda: read_jwt(token, lambda header: key.key, algorithms=ALGORITHMS),
        "jwcrypto": by_jwcrypto(key, token),
    }
    return {**listed, "PyJWT": by_pyjwt(key, token, algorithm)} if find_spec("jwt") else listed


def by_cryptography(key: SigningJwk, token: str) -> Callable[[], Any]:
    from joserfc.util import urlsafe_b64decode

    public: Any = key.key.public_key
    signed, _, last = token.encode().rpartition(b".")
    signature = urlsafe_b64decode(last)
    if key.algorithm == "RS256":
        return lambda: public.verify(signature, signed, padding.PKCS1v15(), SHA256())
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    return lambda: public.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(SHA256()))


def by_joserfc(key: SigningJwk, token: str, algorithm: str) -> Callable[[], Any]:
    return lambda: json.loads(jws.deserialize_compact(token, key.key, algorithms=[algorithm]).payload)


def by_jwcrypto(key: SigningJwk, token: str) -> Callable[[], Any]:
    public = JWK(**key.public)

    def verify() -> Any:
        parsed = JWS()
        parsed.deserialize(token, public)
        return json.loads(parsed.payload)

    return verify


def by_pyjwt(key: SigningJwk, token: str, algorithm: str) -> Callable[[], Any]:
    import jwt

    public: Any = key.key.public_key
    options: Any = {"verify_aud": False, "verify_iat": False}
    return lambda: jwt.decode(token, public, algorithms=[algorithm], options=options)


if __name__ == "__main__":
    main()
