"""Access and ID tokens as the server issues them, read with another library and the keys that it publishes."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.test import Client as Browser
from jwcrypto.jwk import JWKSet
from jwcrypto.jws import JWS

from mcp_oidc.models import AbstractClient, Connection
from mcp_oidc.protocol.jwks import generate_jwk
from tests.factories import ISSUER, RESOURCE
from tests.resource import forgery
from tests.server.authorizations import json_of, post_form, redeem, refresh_params

HASHES = {"RS256": hashlib.sha256, "ES256": hashlib.sha256, "EdDSA": hashlib.sha512}


@pytest.fixture(params=HASHES)
def algorithm(request: pytest.FixtureRequest, settings: LazySettings) -> str:
    """What the server signs with."""
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": generate_jwk(request.param).private}
    return str(request.param)


def read(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and payload, if a published key signed them."""
    published = JWKSet.from_json(Browser().get("/jwks").content.decode())
    signed = JWS()
    signed.deserialize(token)
    header = json.loads(signed.objects["protected"])
    signed.verify(published.get_key(header["kid"]), alg=header["alg"])
    return header, json.loads(signed.payload)


@pytest.mark.requirement("access-token-rfc9068")
def test_access_token_is_that_of_rfc_9068(
    user: AbstractBaseUser, public_client: AbstractClient, browser: Browser, algorithm: str
) -> None:
    tokens = redeem(browser, public_client)
    header, claims = read(tokens["access_token"])
    assert header == {"typ": "at+jwt", "alg": algorithm, "kid": header["kid"]}
    assert set(claims) == {
        *("iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time"),
        *("sid", "gen"),
    }
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (ISSUER, RESOURCE, public_client.client_id)
    assert (claims["sub"], claims["scope"]) == (Connection.objects.get().subject, tokens["scope"])
    assert claims["exp"] - claims["iat"] == tokens["expires_in"]
    # Opaque: nothing of the person is in it.
    assert user.get_username() not in json.dumps(claims)


@pytest.mark.requirement("id-token")
def test_id_token_is_for_the_client_and_fits_its_access_token(
    browser: Browser, public_client: AbstractClient, algorithm: str
) -> None:
    tokens = redeem(browser, public_client, nonce="n-0S6_WzA2Mj")
    header, claims = read(tokens["id_token"])
    # Not the type of an access token, so that nobody takes it for one (RFC 8725 3.11).
    assert header == {"typ": "JWT", "alg": algorithm, "kid": header["kid"]}
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "nonce", "auth_time", "at_hash"}
    assert (claims["iss"], claims["aud"], claims["nonce"]) == (ISSUER, public_client.client_id, "n-0S6_WzA2Mj")
    digest = HASHES[algorithm](tokens["access_token"].encode()).digest()
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()


def test_refresh_brings_a_token_of_its_own_for_the_same_user_and_client(
    public_client: AbstractClient, tokens: dict[str, str]
) -> None:
    newer = json_of(post_form("/token", refresh_params(public_client, tokens)), 200)
    before, after = (forgery.claims_of(each["access_token"]) for each in (tokens, newer))
    assert before["jti"] != after["jti"]
    # The login is the same, too (RFC 9068 2.2.1).
    same = set(before) - {"jti", "gen", "iat", "exp"}
    assert "auth_time" in same
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    # OpenID Connect Core 12.2: it might not contain one, and the login was told of.
    assert "id_token" not in newer
