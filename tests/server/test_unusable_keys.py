"""Keys that cannot be used: each endpoint says so in OAuth's terms, the log has the way out, and nothing is used up."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client as Browser

from mcp_oidc.core.keys import forget_keys
from mcp_oidc.models import AbstractClient, SigningKey
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.server.authorizations import code_params, json_of, post_form, refresh_params

METADATA = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"

P_256, ED25519 = generate_jwk("ES256"), generate_jwk("EdDSA")
BROKEN_SETS: dict[str, Any] = {
    "public RSA": lambda rsa: {"keys": [rsa.public]},
    "public EC": lambda rsa: {"keys": [P_256.public]},
    "public OKP": lambda rsa: {"keys": [ED25519.public]},
    "second is public": lambda rsa: {"keys": [rsa.private, P_256.public]},
    "symmetric": lambda rsa: {"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}]},
    "halves of two keys": lambda rsa: {"keys": [{**ED25519.private, "x": generate_jwk("EdDSA").private["x"]}]},
    "same kid": lambda rsa: {"keys": [{**P_256.private, "kid": "a"}, {**ED25519.private, "kid": "a"}]},
    "empty": lambda rsa: {"keys": []},
    "encrypted PEM": lambda rsa: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFHDBOBgkqhkiG9w0BBQ0w\n-----END",
    "cut off": lambda rsa: json.dumps({"keys": [rsa.private]})[:-2],
    "no such file": lambda rsa: "/no/such/file",
    "bytes": lambda rsa: b"{}",
}

each_broken_set = pytest.mark.parametrize("make", BROKEN_SETS.values(), ids=BROKEN_SETS.keys())


def lose_the_secret(settings: LazySettings) -> None:
    settings.SECRET_KEY = "another secret"
    forget_keys()


def get(path: str, **headers: str) -> Any:
    return Browser(raise_request_exception=False).get(path, headers=headers)


def assert_is_out_of_order(response: Any) -> None:
    document = json_of(response, 503)
    assert document["error"] == "temporarily_unavailable"
    assert int(response["Retry-After"]) > 0
    assert response["Cache-Control"] == "no-store"


def errors_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    ours = [record for record in caplog.records if record.name.startswith("mcp_oidc")]
    return [record for record in ours if record.levelno >= logging.ERROR]


@pytest.mark.requirement("unusable-keys")
@each_broken_set
def test_keys_that_cannot_be_used_are_told_at_every_endpoint_and_once_a_minute_in_the_log(
    public_client: AbstractClient,
    tokens: dict[str, str],
    signing_key: SigningJwk,
    make: Callable[[SigningJwk], Any],
    settings: LazySettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    working = settings.MCP_OIDC
    source = make(signing_key)
    settings.MCP_OIDC = {**working, "JWKS": source}
    caplog.clear()
    begun = time.monotonic() // 60
    for path in ("/jwks", METADATA, OPENID):
        assert_is_out_of_order(get(path))
    assert_is_out_of_order(get("/me", Authorization=f"Bearer {tokens['access_token']}"))
    for path in ("/token", "/token/revocation"):
        asked = refresh_params(public_client, tokens, token=tokens["access_token"])
        assert_is_out_of_order(post_form(path, asked))
    records = errors_in(caplog)
    assert 1 <= len(records) <= 1 + time.monotonic() // 60 - begun
    for record in records:
        assert record.exc_info is None
        assert "MCP_OIDC['JWKS']" in record.getMessage()
    assert_tells_nothing_of(source, caplog.text)
    settings.MCP_OIDC = working
    json_of(post_form("/token", refresh_params(public_client, tokens)), 200)


def assert_tells_nothing_of(source: Any, told: str) -> None:
    text = source if isinstance(source, str) else json.dumps(source, default=str)
    pieces = [piece for piece in text.replace("\n", '"').split('"') if len(piece) > 24 and " " not in piece]
    assert [piece for piece in pieces if piece[:24] in told] == []


@pytest.mark.requirement("unusable-keys")
def test_server_that_lost_the_secret_of_its_key_goes_on_verifying_and_publishing(
    tokens: dict[str, str], settings: LazySettings
) -> None:
    before = [get(path).json() for path in ("/jwks", METADATA)]
    lose_the_secret(settings)
    assert [get(path).json() for path in ("/jwks", METADATA)] == before
    assert get("/me", Authorization=f"Bearer {tokens['access_token']}").status_code == 200


@pytest.mark.requirement("unusable-keys")
def test_server_that_lost_the_secret_of_its_key_calls_no_token_bad(
    public_client: AbstractClient,
    tokens: dict[str, str],
    settings: LazySettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = settings.SECRET_KEY
    lose_the_secret(settings)
    caplog.clear()
    for _ in range(3):
        assert_is_out_of_order(post_form("/token", refresh_params(public_client, tokens)))
    (record,) = errors_in(caplog)
    assert record.exc_info is None
    assert "SECRET_KEY_FALLBACKS" in record.getMessage()
    assert "mcp_oidc_rotate_keys --now" in record.getMessage()
    settings.SECRET_KEY_FALLBACKS = [known]
    forget_keys()
    json_of(post_form("/token", refresh_params(public_client, tokens)), 200)


@pytest.mark.requirement("unusable-keys")
def test_code_is_not_used_up_by_a_server_that_cannot_sign(
    public_client: AbstractClient, code: str, settings: LazySettings
) -> None:
    payload = SigningKey.objects.get().payload
    SigningKey.objects.update(payload="something else")
    forget_keys()
    assert_is_out_of_order(post_form("/token", code_params(public_client, code)))
    SigningKey.objects.update(payload=payload)
    forget_keys()
    json_of(post_form("/token", code_params(public_client, code)), 200)


@pytest.mark.requirement("unusable-keys")
def test_secret_that_is_lost_for_good_costs_a_login_after_the_way_out_was_taken(
    public_client: AbstractClient, tokens: dict[str, str], settings: LazySettings
) -> None:
    lose_the_secret(settings)
    call_command("mcp_oidc_rotate_keys", "--now")
    assert json_of(post_form("/token", refresh_params(public_client, tokens)), 400)["error"] == "invalid_grant"
    # Tokens that were signed before are still good.
    assert get("/me", Authorization=f"Bearer {tokens['access_token']}").status_code == 200


@pytest.mark.requirement("unusable-keys")
def test_health_tells_of_keys_that_cannot_sign(signing_key: SigningJwk, settings: LazySettings) -> None:
    assert get("/health").status_code == 200
    lose_the_secret(settings)
    assert get("/health").status_code == 503
