"""JWT access tokens: written, and refused for each thing that can be wrong with them."""

from __future__ import annotations

import base64
import json
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws
from joserfc.jwk import OctKey
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK

from mcp_oidc.errors import InvalidToken
from mcp_oidc.protocol.access_tokens import (
    LEEWAY,
    AccessTokenClaims,
    read_access_token,
    sign_access_token,
    verify_access_token,
)
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk, generate_jwk
from mcp_oidc.protocol.jwts import MAX_TOKEN_LENGTH, sign_jwt

ISSUER = "https://auth.example"
RESOURCE = "https://mcp.example/mcp"
KEY = generate_jwk("RS256")


def find_key(kid: str) -> SigningJwk | None:
    return KEY if kid == KEY.kid else None


def claims(**changes: Any) -> AccessTokenClaims:
    now = int(time.time())
    valid = AccessTokenClaims(
        issuer=ISSUER,
        subject="2c6b684c-1529-4797-a1c6-d5f648a2bbbd",
        audience=RESOURCE,
        client_id="s6BhdRkqt3",
        scopes=("openid", "mcp"),
        issued_at=now,
        expires_at=now + 3600,
        token_id="jti-1",
        connection_id=uuid.UUID("96dfe2e0-3cfb-40f5-93b1-3a43964c9a34"),
        generation=3,
        extra={},
    )
    return replace(valid, **changes)


def verify(token: str, *, audience: str | None = RESOURCE) -> AccessTokenClaims:
    return verify_access_token(token, find_key, issuer=ISSUER, audience=audience)


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=="))
    return value


@pytest.mark.requirement("access-token-rfc9068")
def test_token_has_the_header_and_claims_of_rfc_9068() -> None:
    header, payload, _ = sign_access_token(claims(), KEY).split(".")
    assert decoded(header) == {"typ": "at+jwt", "alg": "RS256", "kid": KEY.kid}
    assert {"iss", "sub", "aud", "client_id", "scope", "exp", "iat", "jti"} <= set(decoded(payload))


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_token_is_read_as_it_was_written(algorithm: str) -> None:
    key = generate_jwk(algorithm)
    written = claims()
    read = verify_access_token(sign_access_token(written, key), lambda kid: key, issuer=ISSUER, audience=RESOURCE)
    assert replace(read, extra={}) == written


@pytest.mark.requirement("access-token-rfc9068")
def test_audience_is_one_string() -> None:
    assert decoded(sign_access_token(claims(), KEY).split(".")[1])["aud"] == RESOURCE


def test_time_of_the_login_is_told_where_it_is_known() -> None:
    for time_of_login in (None, 1_700_000_000):
        token = sign_access_token(claims(authenticated_at=time_of_login), KEY)
        assert decoded(token.split(".")[1]).get("auth_time") == time_of_login
        assert verify(token).authenticated_at == time_of_login


OWN = [
    *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "scope", "auth_time", "cnf", "sid", "gen"),
    *("active", "token_type"),
]


@pytest.mark.requirement("added-claims")
@pytest.mark.parametrize("name", OWN)
def test_added_claims_are_none_of_the_servers_own(name: str) -> None:
    # Those that the server sets keep its value, and those that it does not set stay away.
    forged = claims(extra={name: "evil", "groups": ["staff"]})
    assert forged.as_dict() == {**claims().as_dict(), "groups": ["staff"]}
    assert verify(sign_access_token(forged, KEY)).added == {"groups": ["staff"]}


def test_added_null_is_left_out() -> None:
    assert "team" not in claims(extra={"team": None}).as_dict()


def test_token_that_would_be_refused_for_its_length_is_not_written() -> None:
    with pytest.raises(ValueError, match="the adapter adds too much"):
        sign_access_token(claims(extra={"groups": ["g" * 100] * 200}), KEY)


@pytest.mark.requirement("audience-exact")
@pytest.mark.parametrize(
    "audience", ["https://mcp.example/mcp/plain", "https://mcp.example", "https://mcp.example/mcp/"]
)
def test_token_is_good_for_exactly_its_resource(audience: str) -> None:
    with pytest.raises(InvalidToken, match="another resource"):
        verify(sign_access_token(claims(audience=audience), KEY))


def test_token_for_any_resource_is_read_where_none_is_asked() -> None:
    assert verify(sign_access_token(claims(audience="https://other.example"), KEY), audience=None)


@pytest.mark.parametrize("issuer", ["https://auth.example/", "https://AUTH.example", "https://evil.example"])
def test_token_of_another_issuer_is_refused(issuer: str) -> None:
    with pytest.raises(InvalidToken, match="somebody else"):
        verify(sign_access_token(claims(issuer=issuer), KEY))


@pytest.mark.requirement("token-expiry")
def test_token_expires_after_the_leeway(monkeypatch: pytest.MonkeyPatch) -> None:
    token = sign_access_token(claims(issued_at=1_000_000, expires_at=1_003_600), KEY)
    monkeypatch.setattr("mcp_oidc.protocol.access_tokens.time.time", lambda: 1_003_600 + LEEWAY - 0.1)
    assert verify(token)
    monkeypatch.setattr("mcp_oidc.protocol.access_tokens.time.time", lambda: 1_003_600.0 + LEEWAY)
    with pytest.raises(InvalidToken, match="expired"):
        verify(token)


def test_token_that_has_expired_still_says_whose_it_is() -> None:
    token = sign_access_token(claims(issued_at=1_000_000, expires_at=1_003_600, audience="https://other.example"), KEY)
    assert read_access_token(token, find_key, issuer=ISSUER).client_id == "s6BhdRkqt3"
    for forged in (token[:-4] + "AAAA", sign_access_token(claims(issuer="https://evil.example"), KEY)):
        with pytest.raises(InvalidToken):
            read_access_token(forged, find_key, issuer=ISSUER)


def test_token_from_the_future_is_refused() -> None:
    now = int(time.time())
    with pytest.raises(InvalidToken, match="future"):
        verify(sign_access_token(claims(issued_at=now + 600, expires_at=now + 4200), KEY))


@pytest.mark.parametrize("typ", ["JWT", "", None, 1, ["at+jwt"], "dpop+jwt", "logout+jwt"])
@pytest.mark.requirement("access-token-typ")
def test_id_token_and_other_kinds_of_jwt_are_no_access_tokens(typ: Any) -> None:
    header = {"alg": "RS256", "kid": KEY.kid, "typ": typ}
    with pytest.raises(InvalidToken):
        verify(_signed(header, claims().as_dict()))


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt"])
def test_type_is_read_as_rfc_9068_allows(typ: str) -> None:
    assert verify(sign_jwt(claims().as_dict(), KEY, typ=typ))


@pytest.mark.parametrize(
    "change",
    [{name: None} for name in ("iss", "sub", "aud", "client_id", "scope", "exp", "iat", "jti", "sid", "gen")]
    + [
        {"aud": [RESOURCE, "https://other.example"]},
        {"aud": []},
        {"aud": [1]},
        {"aud": {}},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": 1e12},
        {"sid": "not a uuid"},
        {"scope": ["mcp"]},
        {"gen": "1"},
        {"auth_time": "1"},
    ],
)
def test_token_with_a_missing_or_mistyped_claim_is_refused(change: dict[str, Any]) -> None:
    payload = {name: value for name, value in {**claims().as_dict(), **change}.items() if value is not None}
    with pytest.raises(InvalidToken):
        verify(sign_jwt(payload, KEY, typ="at+jwt"))


def test_audience_may_be_a_list_of_one() -> None:
    assert verify(sign_jwt({**claims().as_dict(), "aud": [RESOURCE]}, KEY, typ="at+jwt")).audience == RESOURCE


@pytest.mark.requirement("jwt-algorithm-pinned")
def test_public_key_is_no_hmac_secret() -> None:
    pem = KEY.key.as_pem(private=False)
    header = {"alg": "HS256", "kid": KEY.kid, "typ": "at+jwt"}
    token = jws.serialize_compact(header, json.dumps(claims().as_dict()), OctKey.import_key(b64(pem)))
    with pytest.raises(InvalidToken):
        verify(token)


@pytest.mark.requirement("jwt-algorithm-pinned")
@pytest.mark.parametrize("alg", ["none", "None", "HS256", "RS384", "PS256", "ES256", "EdDSA", "", None, ["RS256"]])
def test_algorithm_is_that_of_the_key(alg: Any) -> None:
    _, payload, signature = sign_access_token(claims(), KEY).split(".")
    header = b64({"alg": alg, "kid": KEY.kid, "typ": "at+jwt"})
    for token in (f"{header}.{payload}.{signature}", f"{header}.{payload}."):
        with pytest.raises(InvalidToken):
            verify(token)


@pytest.mark.parametrize("kid", ["unknown", "", None, 1, ["x"]])
def test_key_that_is_not_ours_is_refused(kid: Any) -> None:
    with pytest.raises(InvalidToken):
        verify(_signed({"alg": "RS256", "kid": kid, "typ": "at+jwt"}, claims().as_dict()))


def test_key_in_the_header_is_never_used() -> None:
    other = generate_jwk("RS256")
    header = {"alg": "RS256", "kid": other.kid, "typ": "at+jwt", "jwk": other.public, "jku": "https://evil.example"}
    with pytest.raises(InvalidToken):
        verify(_signed(header, claims().as_dict(), key=other))


@pytest.mark.parametrize("extra", [{"crit": ["exp"], "exp": 1}, {"crit": ["b64"], "b64": False}, {"crit": "x"}])
def test_critical_extension_that_is_not_understood_is_refused(extra: dict[str, Any]) -> None:
    # Signed by ourselves over exactly this header, so that only the extension is wrong.
    header = {"alg": "RS256", "kid": KEY.kid, "typ": "at+jwt", **extra}
    with pytest.raises(InvalidToken):
        verify(_signed(header, claims().as_dict()))


def test_token_that_was_encrypted_for_our_public_key_is_refused() -> None:
    # RFC 8725 2.3: anybody can encrypt, and it proves nothing.
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": KEY.kid, "typ": "at+jwt"}
    encrypted = JWE(json.dumps(claims().as_dict()), json.dumps(header), recipient=JWK(**_material(KEY.public)))
    with pytest.raises(InvalidToken):
        verify(encrypted.serialize(compact=True))


def test_changed_payload_or_signature_is_refused() -> None:
    header, payload, signature = sign_access_token(claims(), KEY).split(".")
    other = b64({**claims().as_dict(), "scope": "admin"})
    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{payload}.",
    ):
        with pytest.raises(InvalidToken):
            verify(token)


GARBAGE: list[str] = [
    "",
    ".",
    "..",
    "....",
    "a.b.c",
    "\u00e9.a.b",
    "x" * (MAX_TOKEN_LENGTH + 1),
    *(f"{b64(header)}.{b64({})}.AA" for header in ([], "x", 1, None, {}, b"\xff", b"[" * 5000, {"alg": {}, "typ": {}})),
]


@pytest.mark.parametrize("token", GARBAGE, ids=lambda token: repr(token[:20]))
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        verify(token)


@given(st.text(max_size=80), st.text("abcXYZ019-_.", max_size=200))
def test_any_text_is_refused(text: str, token: str) -> None:
    for candidate in (text, token, f"{b64({'alg': 'RS256', 'typ': 'at+jwt', 'kid': KEY.kid})}.{token}"):
        with pytest.raises(InvalidToken):
            verify(candidate)


@pytest.mark.parametrize("payload", [b"[]", b"1", b"null", b'"x"', b"\xff", b"[" * 9000, b"{}", b'{"exp":1e400}'])
def test_signed_payload_that_is_no_claims_set_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidToken):
        verify(_signed({"alg": "RS256", "kid": KEY.kid, "typ": "at+jwt"}, payload))


def test_refusal_repeats_nothing_of_the_token() -> None:
    token = sign_access_token(claims(), KEY)[:-4] + "AAAA"
    with pytest.raises(InvalidToken) as refusal:
        verify(token)
    for part in token.split("."):
        assert part not in refusal.value.description + refusal.value.log


def _signed(header: dict[str, Any], payload: Any, *, key: SigningJwk = KEY) -> str:
    """A JWS of whatever header, with a signature that holds: the library itself would refuse to write most of these."""
    text = f"{b64(header)}.{b64(payload)}"
    signature = JWK(**_material(key.private)).get_op_key("sign").sign(text.encode(), PKCS1v15(), SHA256())
    return f"{text}.{b64(signature)}"


def _material(members: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in members.items() if name not in ("alg", "use", "kid")}
