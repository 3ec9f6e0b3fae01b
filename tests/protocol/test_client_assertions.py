"""Client assertions: what proves a client, and what does not (RFC 7523 3)."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OctKey

from mcp_oidc.errors import InvalidClient, InvalidRequest
from mcp_oidc.protocol.client_assertions import (
    ASSERTION_TYPE,
    MAX_LIFETIME,
    Assertion,
    claimed_client_id,
    read_assertion,
)
from mcp_oidc.protocol.client_authentication import ClientCredentials, parse_client_credentials
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from mcp_oidc.protocol.jwts import BadJwt, sign_jwt
from tests.factories import ISSUER
from tests.server.documents import make_claims

CLIENT = "https://app.example/client.json"
TOKEN_ENDPOINT = f"{ISSUER}/token"
NOW = 1_800_000_000
KEY = generate_jwk("ES256")


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    return make_claims(CLIENT, **{"iat": NOW, "exp": NOW + 60, **changes})


def read(text: str, key: SigningJwk = KEY) -> Assertion:
    return read_assertion(
        text, lambda header: key.key, client_id=CLIENT, audiences=(ISSUER, TOKEN_ENDPOINT), now=float(NOW)
    )


def signed(**changes: Any) -> str:
    return sign_jwt(claims(**changes), KEY, typ="JWT")


@pytest.mark.requirement("assertion-algorithms")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_assertion_of_each_algorithm_is_read(algorithm: str) -> None:
    key = generate_jwk(algorithm)
    assertion = read(sign_jwt(claims(jti="one"), key, typ="JWT"), key)
    assert assertion.token_id == "one"
    assert assertion.forgotten_at > NOW + 60


@pytest.mark.requirement("assertion-algorithms")
def test_assertion_may_be_signed_with_ps256() -> None:
    key = generate_jwk("RS256")
    payload = json.dumps(claims(jti="one")).encode()
    registry = jws.JWSRegistry(algorithms=["PS256"])
    assert read(jws.serialize_compact({"alg": "PS256"}, payload, key.key, registry=registry), key).token_id == "one"


@pytest.mark.requirement("assertion-algorithms")
def test_assertion_without_a_signature_or_with_a_shared_secret_is_refused_before_a_key_is_looked_for() -> None:
    def never(header: Any) -> Any:
        raise AssertionError("a key was looked for")

    body = json.dumps(claims()).encode()
    unsigned = f"{segment(b'{}')}.{segment(body)}."
    none = segment(json.dumps({"alg": "none"}).encode()) + f".{segment(body)}."
    hmac = jws.serialize_compact({"alg": "HS256"}, body, OctKey.generate_key(256), algorithms=["HS256"])
    rs512 = segment(json.dumps({"alg": "RS512"}).encode()) + f".{segment(body)}.AAAA"
    for text in (unsigned, none, hmac, rs512):
        with pytest.raises(BadJwt):
            read_assertion(text, never, client_id=CLIENT, audiences=(ISSUER,), now=float(NOW))


@pytest.mark.requirement("assertion-claims")
@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ISSUER},
        {"aud": TOKEN_ENDPOINT},
        {"aud": [ISSUER]},
        {"aud": [TOKEN_ENDPOINT, ISSUER]},
        {"iat": None},
        {"iat": NOW + 20, "nbf": NOW + 20},
        {"exp": NOW + MAX_LIFETIME},
        {"exp": NOW + 1.5},
        {"exp": NOW - 20},
    ],
)
def test_claims_within_the_rules_are_accepted(changes: dict[str, Any]) -> None:
    assert read(signed(**changes)).token_id


@pytest.mark.requirement("assertion-claims")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": None},
        {"iss": "https://evil.example/client.json"},
        {"sub": None},
        {"sub": CLIENT.upper()},
        {"sub": [CLIENT]},
        {"aud": None},
        {"aud": []},
        {"aud": "https://elsewhere.example"},
        {"aud": f"{ISSUER}/"},
        {"aud": [ISSUER, "https://elsewhere.example"]},
        {"aud": [ISSUER, 1]},
        {"aud": {ISSUER: ISSUER}},
        {"exp": None},
        {"exp": NOW - 31},
        {"exp": NOW + MAX_LIFETIME + 31},
        {"exp": str(NOW + 60)},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"iat": NOW + 31},
        {"iat": "now"},
        {"nbf": NOW + 31},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 1001},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_claims_against_the_rules_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(BadJwt):
        read(signed(**changes))


def test_assertion_signed_with_another_key_is_refused() -> None:
    with pytest.raises(BadJwt):
        read(signed(), generate_jwk("ES256"))


def test_client_is_named_by_the_assertion_itself() -> None:
    assert claimed_client_id(signed()) == CLIENT


MALFORMED = [
    "",
    "a",
    "a.b",
    "a.b.c",
    "a.b.c.d.e",
    "..",
    f"{'a' * 20_000}.a.a",
    "é.é.é",
    *(
        f"a.{segment(payload)}.c"
        for payload in (b"[]", b"{}", b'{"sub":1}', b"[" * 5000, b"\xff\xfe", b'{"sub":"\\ud800"}')
    ),
]


@pytest.mark.parametrize("text", MALFORMED, ids=lambda text: text[:12])
def test_what_is_no_assertion_names_nobody_and_proves_nothing(text: str) -> None:
    with pytest.raises(BadJwt):
        claimed_client_id(text)
    with pytest.raises(BadJwt):
        read(text)
    with pytest.raises(InvalidClient):
        parse_client_credentials(None, {"client_assertion": text, "client_assertion_type": ASSERTION_TYPE})


def test_credentials_hold_the_assertion_and_do_not_show_it() -> None:
    text = sign_jwt(make_claims(CLIENT), KEY, typ="JWT")
    credentials = parse_client_credentials(None, {"client_assertion": text, "client_assertion_type": ASSERTION_TYPE})
    assert credentials == ClientCredentials(CLIENT, None, "private_key_jwt", text)
    assert text not in repr(credentials)


@pytest.mark.parametrize(
    "params",
    [
        {"client_assertion": "a.b.c"},
        {"client_assertion": "a.b.c", "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2"},
        {"client_assertion_type": ASSERTION_TYPE, "client_id": CLIENT},
    ],
)
def test_assertion_and_its_type_need_each_other(params: dict[str, str]) -> None:
    with pytest.raises(InvalidClient):
        parse_client_credentials(None, params)


@pytest.mark.requirement("client-one-method")
@pytest.mark.parametrize(
    ("authorization", "params"),
    [
        (None, {"client_secret": "b"}),
        ("Basic YTpi", {}),
        (None, {"client_id": "https://evil.example/client.json"}),
    ],
)
def test_assertion_beside_another_method_or_id_is_refused(authorization: str | None, params: dict[str, str]) -> None:
    text = sign_jwt(make_claims(CLIENT, exp=int(time.time()) + 60), KEY, typ="JWT")
    with pytest.raises(InvalidRequest):
        parse_client_credentials(
            authorization, {"client_assertion": text, "client_assertion_type": ASSERTION_TYPE, **params}
        )
