"""Clients that prove themselves by a signature, over HTTP (`private_key_jwt`, RFC 7523)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from oauth2_provider.cimd import CIMDError

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.revocation import block_client
from mcp_oidc.models import AbstractClient, Client, UsedAssertion
from mcp_oidc.protocol.client_assertions import ALGORITHMS
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.factories import ISSUER, make_metadata
from tests.server.authorizations import approve, basic, code_params, json_of, post_form
from tests.server.documents import Web, sign

KEYS_URL = "https://keys.example/jwks.json"


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that tells how old fetched keys are."""
    clock = Clock()
    monkeypatch.setattr("mcp_oidc.upstream.documents.monotonic", clock)
    return clock


@pytest.fixture(scope="module")
def key() -> SigningJwk:
    return generate_jwk("ES256")


@pytest.fixture
def signer(db: None, key: SigningJwk, caller: Caller) -> AbstractClient:
    """A client that registered its key, and must use it."""
    metadata = make_metadata(token_endpoint_auth_method="private_key_jwt", jwks={"keys": [key.public]})
    return register(metadata, caller=caller).client


@pytest.fixture
def published(web: Web, key: SigningJwk, caller: Caller, db: None) -> AbstractClient:
    """A client that registered where its keys are."""
    web.published[KEYS_URL] = {"keys": [key.public]}
    metadata = make_metadata(token_endpoint_auth_method="private_key_jwt", jwks_uri=KEYS_URL)
    return register(metadata, caller=caller).client


def ask(proof: dict[str, str], status: int, path: str = "/token") -> dict[str, Any]:
    """A request whose client counts and nothing else: an authenticated one is told that its token is no good."""
    params = {"grant_type": "refresh_token", "refresh_token": "x", "token": "x", **proof}
    return json_of(post_form(path, params), status)


def assert_authenticated(proof: dict[str, str]) -> None:
    assert ask(proof, 400)["error"] == "invalid_grant"


def assert_refused(proof: dict[str, str]) -> None:
    answer = ask(proof, 401)
    # In the same words as for any other failed authentication.
    assert answer == {
        "error": "invalid_client",
        "error_description": "The client is unknown, or its credentials are wrong.",
    }


@pytest.mark.requirement("assertion-client")
def test_code_is_redeemed_by_an_assertion_that_names_the_client_itself(
    browser: Browser, signer: AbstractClient, key: SigningJwk
) -> None:
    code = approve(browser, signer)["code"]
    asked = {**code_params(signer, code, client_id=None), **sign(signer.client_id, key)}
    assert json_of(post_form("/token", asked), 200)["access_token"]


@pytest.mark.requirement("assertion-client")
@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token", f"{ISSUER}/token/revocation", [ISSUER]])
def test_audience_is_the_issuer_or_an_endpoint(signer: AbstractClient, key: SigningJwk, audience: Any) -> None:
    assert_authenticated(sign(signer.client_id, key, aud=audience))


@pytest.mark.requirement("assertion-claims")
@pytest.mark.parametrize(
    "changes",
    [{"aud": "https://elsewhere.example"}, {"exp": 1}, {"jti": None}, {"iss": "somebody else"}, {"sub": "nobody"}],
)
def test_assertion_against_the_rules_is_a_failed_authentication(
    signer: AbstractClient, key: SigningJwk, changes: dict[str, Any]
) -> None:
    assert_refused(sign(signer.client_id, key, **changes))
    assert not UsedAssertion.objects.exists()


@pytest.mark.requirement("assertion-once")
def test_assertion_is_good_once(signer: AbstractClient, key: SigningJwk) -> None:
    proof = sign(signer.client_id, key, jti="one")
    assert_authenticated(proof)
    assert_refused(proof)
    # The id counts and not the text.
    assert_refused(sign(signer.client_id, key, jti="one"))
    assert_authenticated(sign(signer.client_id, key, jti="ONE"))


@pytest.mark.requirement("assertion-once")
def test_two_clients_may_use_the_same_jti(
    signer: AbstractClient, key: SigningJwk, caller: Caller, published: AbstractClient
) -> None:
    for client in (signer, published):
        assert_authenticated(sign(client.client_id, key, jti="one"))


@pytest.mark.requirement("assertion-required")
@pytest.mark.parametrize("secret", [None, "", "hunter2"])
def test_client_that_registered_a_key_must_use_it(signer: AbstractClient, secret: str | None) -> None:
    assert_refused({"client_id": signer.client_id, **({"client_secret": secret} if secret is not None else {})})
    header = basic(signer.client_id, secret or "")
    params = {"grant_type": "refresh_token", "refresh_token": "x"}
    json_of(post_form("/token", params, Authorization=header), 401)


@pytest.mark.requirement("assertion-required")
def test_client_that_registered_no_key_has_none(public_client: AbstractClient, key: SigningJwk) -> None:
    assert_refused(sign(public_client.client_id, key))


def test_key_of_another_client_proves_nothing(signer: AbstractClient) -> None:
    assert_refused(sign(signer.client_id, generate_jwk("ES256")))


def test_blocked_client_is_refused(signer: AbstractClient, key: SigningJwk) -> None:
    block_client(signer)
    assert_refused(sign(signer.client_id, key))


@pytest.mark.requirement("client-one-method")
def test_assertion_beside_a_secret_is_a_bad_request(signer: AbstractClient, key: SigningJwk) -> None:
    proof = {**sign(signer.client_id, key), "client_secret": "hunter2"}
    assert ask(proof, 400)["error"] == "invalid_request"


def test_revocation_and_introspection_take_assertions(signer: AbstractClient, key: SigningJwk) -> None:
    assert ask(sign(signer.client_id, key), 200, "/token/revocation") == {}
    assert ask(sign(signer.client_id, key), 200, "/token/introspection") == {"active": False}


def test_client_that_has_a_key_and_does_not_use_it_may_not_introspect(signer: AbstractClient, key: SigningJwk) -> None:
    both = {**signer.metadata, "token_endpoint_auth_methods_supported": ["private_key_jwt", "none"]}
    Client.objects.filter(pk=signer.pk).update(metadata=both)
    assert ask({"client_id": signer.client_id}, 401, "/token/introspection")["error"] == "invalid_client"
    assert ask(sign(signer.client_id, key), 200, "/token/introspection") == {"active": False}


@pytest.mark.requirement("assertion-published-keys")
def test_published_keys_are_fetched_once_in_ten_minutes(
    web: Web, published: AbstractClient, key: SigningJwk, clock: Clock
) -> None:
    for _ in range(3):
        assert_authenticated(sign(published.client_id, key))
    assert web.fetched == [KEYS_URL]
    clock.now += 601
    assert_authenticated(sign(published.client_id, key))
    assert web.fetched == [KEYS_URL, KEYS_URL]


@pytest.mark.requirement("assertion-published-keys")
def test_new_key_is_found_at_once_and_made_up_ones_cost_one_fetch_in_half_a_minute(
    web: Web, published: AbstractClient, key: SigningJwk, clock: Clock
) -> None:
    assert_authenticated(sign(published.client_id, key))
    new = generate_jwk("ES256")
    web.published[KEYS_URL] = {"keys": [new.public]}
    assert_authenticated(sign(published.client_id, new))
    for _ in range(3):
        assert_refused(sign(published.client_id, generate_jwk("EdDSA")))
    assert len(web.fetched) == 2
    clock.now += 31
    assert_refused(sign(published.client_id, generate_jwk("EdDSA")))
    assert len(web.fetched) == 3


@pytest.mark.requirement("assertion-published-keys")
@pytest.mark.parametrize("document", [CIMDError("HTTP 500"), CIMDError("non-public address"), ["no object"]], ids=repr)
def test_outage_of_the_keys_is_no_failed_authentication(
    web: Web, published: AbstractClient, key: SigningJwk, document: Any
) -> None:
    web.published[KEYS_URL] = document
    assert ask(sign(published.client_id, key), 503)["error"] == "temporarily_unavailable"


@pytest.mark.requirement("assertion-published-keys")
def test_known_keys_are_good_while_newer_ones_cannot_be_fetched(
    web: Web, published: AbstractClient, key: SigningJwk, clock: Clock
) -> None:
    assert_authenticated(sign(published.client_id, key))
    web.published[KEYS_URL] = CIMDError("HTTP 500")
    clock.now += 601
    assert_authenticated(sign(published.client_id, key))


@pytest.mark.parametrize("document", [{}, {"keys": "none"}, {"keys": [7, {"kty": "oct"}]}], ids=repr)
def test_document_without_usable_keys_proves_nothing(
    web: Web, published: AbstractClient, key: SigningJwk, document: dict[str, Any]
) -> None:
    web.published[KEYS_URL] = document
    assert_refused(sign(published.client_id, key))


@pytest.mark.requirement("client-document-ssrf")
def test_keys_on_an_address_that_is_not_public_are_never_fetched(db: None, key: SigningJwk, caller: Caller) -> None:
    # With DOT's own fetcher, as in production.
    metadata = make_metadata(token_endpoint_auth_method="private_key_jwt", jwks_uri="https://127.0.0.1/jwks")
    client = register(metadata, caller=caller).client
    ask(sign(client.client_id, key), 503)


@pytest.mark.requirement("metadata-agrees")
def test_metadata_names_the_method_and_its_algorithms(client: Browser, db: None, signing_key: SigningJwk) -> None:
    metadata = client.get("/.well-known/openid-configuration").json()
    for endpoint in ("token", "revocation", "introspection"):
        assert "private_key_jwt" in metadata[f"{endpoint}_endpoint_auth_methods_supported"]
        assert metadata[f"{endpoint}_endpoint_auth_signing_alg_values_supported"] == list(ALGORITHMS)
