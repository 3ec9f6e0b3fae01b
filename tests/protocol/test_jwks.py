"""Signing keys: read from a JWK Set, published without their private halves, named by their thumbprints."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jwcrypto.jwk import JWK

from mcp_oidc.protocol.jwks import MAX_KID_LENGTH, SIGNING_ALGORITHMS, generate_jwk, parse_private_jwks, public_jwks

# RFC 7517 A.2; the thumbprint is that of RFC 7638 3.1.
RSA = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
    "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6"
    "qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJ"
    "zKnqDKgw",
    "e": "AQAB",
    "d": "X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3EaG6RJoVH-HLLKD9M7dx5oo7GURknchnrRweUkC7hT5fJLM0WbFAKNLWY2vv7B6NqXSzUvxT"
    "0_YSfqijwp3RTzlBaCxWp4doFk5N2o8Gy_nHNKroADIkJ46pRUohsXywbReAdYaMwFs9tv8d_cPVY3i07a3t8MN6TNwm0dSawm9v47UiCl3Sk5ZiG"
    "7xojPLu4sbg1U2jx4IBTNBznbJSzFHK66jT8bgkuqsk0GjskDJk19Z4qwjwbsnn4j2WBii3RL-Us2lGVkY8fkFzme1z0HbIkfz0Y6mqnOYtqc0X4j"
    "fcKoAC8Q",
}
RSA_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
# RFC 8037 A.1 and A.3.
ED25519 = {
    "kty": "OKP",
    "crv": "Ed25519",
    "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
}
ED25519_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(("jwk", "thumbprint"), [(RSA, RSA_THUMBPRINT), (ED25519, ED25519_THUMBPRINT)])
def test_key_without_kid_goes_by_the_thumbprint_of_rfc_7638(jwk: dict[str, str], thumbprint: str) -> None:
    assert [key.kid for key in parse_private_jwks(jwk)] == [thumbprint]


@pytest.mark.parametrize("source", [RSA, {"keys": [RSA]}, json.dumps(RSA), json.dumps({"keys": [RSA]})], ids=type)
def test_set_or_single_key_is_read_from_text_or_dict(source: Any) -> None:
    (key,) = parse_private_jwks(source)
    assert (key.algorithm, "d" in key.members) == ("RS256", True)


def test_keys_keep_their_order_and_their_own_ids() -> None:
    keys = parse_private_jwks(
        {"keys": [{**ED25519, "kid": "new"}, {**RSA, "kid": "old", "use": "sig", "alg": "RS256"}]}
    )
    assert [(key.kid, key.algorithm) for key in keys] == [("new", "EdDSA"), ("old", "RS256")]


@pytest.mark.requirement("jwks-public-only")
@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_published_key_is_public_and_complete(algorithm: str) -> None:
    key = generate_jwk(algorithm)
    (published,) = public_jwks([key])["keys"]
    assert set(published) & {"d", "p", "q", "dp", "dq", "qi", "k"} == set()
    assert (published["kid"], published["alg"], published["use"]) == (key.kid, algorithm, "sig")
    assert key.kid == JWK(**published).thumbprint()


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_generated_key_comes_back_from_its_own_set(algorithm: str) -> None:
    key = generate_jwk(algorithm)
    (read,) = parse_private_jwks(json.dumps({"keys": [key.private]}))
    assert (read.kid, read.algorithm, read.private) == (key.kid, algorithm, key.private)


def without(jwk: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in jwk.items() if name not in names}


RSA_1024 = json.loads(JWK.generate(kty="RSA", size=1024).export_private())
P_384 = json.loads(JWK.generate(kty="EC", crv="P-384").export_private())
P_256 = json.loads(JWK.generate(kty="EC", crv="P-256").export_private())

BROKEN: list[Any] = [
    ("", "not valid JSON"),
    ("{", "not valid JSON"),
    ("[" * 100_000, "not valid JSON"),
    ("[]", "not a JSON object"),
    ("null", "not a JSON object"),
    ({"keys": []}, "holds no key"),
    ({"keys": None}, "holds no key"),
    ({"keys": {"0": RSA}}, "holds no key"),
    ({"keys": [RSA, "x"]}, "Key 2 of the JWK Set is not a JSON object"),
    ({}, "is not for one of"),
    ({"kty": "oct", "k": "c2VjcmV0"}, "is not for one of"),
    ({"kty": []}, "is not for one of"),
    (P_384, "is not for one of"),
    ({**P_256, "crv": ["P-256"]}, "is not for one of"),
    ({**RSA, "alg": "RS512"}, "is not for one of"),
    ({**RSA, "alg": "none"}, "is not for one of"),
    ({**RSA, "use": "enc"}, "is not for one of"),
    (without(RSA, "d"), "is not a private key"),
    (without(ED25519, "d"), "is not a private key"),
    (without(P_256, "d"), "is not a private key"),
    ({**RSA, "d": ""}, "is not a valid JWK"),
    ({**ED25519, "d": ""}, "is not a valid JWK"),
    ({**P_256, "d": ""}, "is not a valid JWK"),
    (without(RSA, "n"), "is not a valid JWK"),
    ({**RSA, "n": 5}, "is not a valid JWK"),
    ({**RSA, "d": "!!!"}, "is not a valid JWK"),
    ({**RSA, "d": None}, "is not a valid JWK"),
    ({**P_256, "x": "AA"}, "is not a valid JWK"),
    ({**P_256, "d": generate_jwk("ES256").members["d"]}, "is not a valid JWK"),
    ({**ED25519, "x": "AA"}, "is not a valid JWK"),
    ({**ED25519, "x": generate_jwk("EdDSA").members["x"]}, "does not belong"),
    (RSA_1024, "less than 2048 bits"),
    ({**RSA, "kid": 5}, "is not a string"),
    ({**RSA, "kid": {"a": RSA["d"]}}, "is not a string"),
    ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFHDBOBgkqhkiG9w0BBQ0w", "is a key in PEM"),
    ({**RSA, "kid": "k" * (MAX_KID_LENGTH + 1)}, "longer than"),
    ({"keys": [{**RSA, "kid": "a"}, {**ED25519, "kid": "a"}]}, "the same kid"),
    ({"keys": [RSA, RSA]}, "the same kid"),
]


@pytest.mark.parametrize(("source", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_unusable_set_is_refused_with_a_message_that_holds_no_key_material(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        parse_private_jwks(source)
    assert type(refusal.value) is ValueError
    for secret in (RSA["d"], ED25519["d"], RSA_1024["d"], P_256["d"], "c2VjcmV0"):
        assert secret not in str(refusal.value)
    assert "MIIF" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_private_half_does_not_show_in_a_log() -> None:
    assert RSA["d"] not in repr(parse_private_jwks(RSA))
