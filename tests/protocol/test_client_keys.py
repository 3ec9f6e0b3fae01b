"""The public keys that a client registers: kept as far as they are of use, and never with a private member."""

from __future__ import annotations

from typing import Any

import pytest
from jwcrypto.jwk import JWK

from mcp_oidc.errors import InvalidClientMetadata
from mcp_oidc.protocol.client_keys import MAX_KEYS, MAX_MEMBER_LENGTH, check_client_jwks, check_jwks_uri
from mcp_oidc.protocol.client_metadata import ClientMetadata, parse_client_metadata

EC: dict[str, Any] = {**JWK.generate(kty="EC", crv="P-256").export_public(as_dict=True), "kid": "k1"}
RSA: dict[str, Any] = JWK.generate(kty="RSA", size=2048).export_public(as_dict=True)
OKP: dict[str, Any] = JWK.generate(kty="OKP", crv="Ed25519").export_public(as_dict=True)


def parse(**members: Any) -> ClientMetadata:
    document = {"redirect_uris": ["https://client.example/cb"], **members}
    return parse_client_metadata(document, private_schemes=())


@pytest.mark.requirement("registration-keys")
@pytest.mark.parametrize("key", [EC, RSA, OKP, {**EC, "alg": "ES256", "use": "sig"}])
def test_public_key_is_kept_and_echoed(key: dict[str, Any]) -> None:
    metadata = parse(jwks={"keys": [key]}, token_endpoint_auth_method="private_key_jwt")
    assert metadata.as_dict()["jwks"] == {"keys": [key]}
    assert metadata.as_dict()["token_endpoint_auth_method"] == "private_key_jwt"
    assert not metadata.has_secret


def test_address_of_keys_is_kept_and_echoed() -> None:
    uri = "https://client.example/jwks.json"
    metadata = parse(jwks_uri=uri, token_endpoint_auth_method="private_key_jwt")
    assert metadata.as_dict()["jwks_uri"] == uri


def test_members_that_describe_no_key_are_left_out() -> None:
    chain = {"x5c": ["MII"], "x5u": "https://client.example/cert", "ext": True, "kid": None}
    assert check_client_jwks({"keys": [{**EC, **chain, "kid": "k1"}], "more": 1}) == {"keys": [EC]}
    assert check_client_jwks({"keys": [{**OKP, "kid": None}]}) == {"keys": [OKP]}


def test_keys_for_something_else_are_left_out() -> None:
    others = [{**RSA, "use": "enc"}, {"kty": "future", "f": "1"}, {"kty": "OKP", "crv": "X25519", "x": OKP["x"]}]
    assert check_client_jwks({"keys": [*others, EC]}) == {"keys": [EC]}


PRIVATE = JWK.generate(kty="EC", crv="P-256").export_private(as_dict=True)
WEAK = JWK.generate(kty="RSA", size=1024).export_public(as_dict=True)


@pytest.mark.requirement("registration-keys")
@pytest.mark.parametrize(
    "jwks",
    [
        "text",
        1,
        {"no": "keys"},
        {"keys": "text"},
        {"keys": []},
        {"keys": [1]},
        {"keys": [EC, "text"]},
        {"keys": [{}]},
        {"keys": [PRIVATE]},
        {"keys": [EC, PRIVATE]},
        {"keys": [EC, {"kty": "oct", "k": "c2VjcmV0"}]},
        {"keys": [{**RSA, "dp": None}]},
        {"keys": [WEAK]},
        {"keys": [{**EC, "x": EC["y"]}]},
        {"keys": [{**EC, "x": 1}]},
        {"keys": [{**EC, "crv": []}]},
        {"keys": [{**EC, "kid": {}}]},
        {"keys": [{**EC, "kid": "k" * (MAX_MEMBER_LENGTH + 1)}]},
        {"keys": [{**RSA, "n": "_" * (MAX_MEMBER_LENGTH + 1)}]},
        {"keys": [{**EC, "kty": "RSA"}]},
        {"keys": [EC] * (MAX_KEYS + 1)},
    ],
)
def test_set_with_nothing_usable_or_anything_private_is_refused(jwks: Any) -> None:
    with pytest.raises(InvalidClientMetadata, match="jwks") as refusal:
        parse(jwks=jwks)
    assert PRIVATE["d"] not in str(refusal.value)


@pytest.mark.parametrize("uri", ["https://client.example/jwks", "http://localhost:8000/jwks", "http://127.0.0.1/jwks"])
def test_keys_come_by_https_or_from_this_machine(uri: str) -> None:
    assert check_jwks_uri(uri) == uri


@pytest.mark.requirement("registration-keys")
@pytest.mark.parametrize(
    "uri",
    [
        "http://client.example/jwks",
        "http://localhost.example/jwks",
        "http://127.1/jwks",
        "https://user@client.example/jwks",
        "https://client.example/jwks#x",
        "file:///etc/passwd",
        "data:application/json,{}",
        "/jwks",
        {"uri": "https://client.example/jwks"},
        1,
    ],
)
def test_keys_come_from_nowhere_else(uri: Any) -> None:
    with pytest.raises(InvalidClientMetadata, match="jwks_uri"):
        parse(jwks_uri=uri)


@pytest.mark.requirement("registration-keys")
def test_keys_and_their_address_do_not_go_together() -> None:
    with pytest.raises(InvalidClientMetadata, match="jwks and jwks_uri"):
        parse(jwks={"keys": [EC]}, jwks_uri="https://client.example/jwks")


@pytest.mark.parametrize("members", [{}, {"jwks": None}, {"jwks_uri": ""}, {"jwks": None, "jwks_uri": None}])
def test_assertions_without_a_key_to_check_them_are_refused(members: dict[str, Any]) -> None:
    with pytest.raises(InvalidClientMetadata, match="token_endpoint_auth_method"):
        parse(token_endpoint_auth_method="private_key_jwt", **members)
    assert parse(**members).keys == {}


def test_digest_tells_other_keys_apart() -> None:
    digests = {parse(jwks={"keys": [key]}).digest for key in (EC, RSA, OKP)}
    assert len({*digests, parse().digest}) == 4
