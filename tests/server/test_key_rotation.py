"""Rotation of signing keys as clients and verifiers elsewhere see it: nobody is logged out, and no token is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client as Browser

from mcp_oidc.core.kept_keys import EXPIRED_KEY_LIFETIME, KEYS_MAX_AGE
from mcp_oidc.core.key_rotation import LEAD
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk, generate_jwk
from mcp_oidc.resource import remote_keys
from mcp_oidc.resource.remote import RemoteVerifier
from tests.clock import Clock, controllable_clock
from tests.factories import ISSUER, RESOURCE
from tests.resource.forgery import header_of
from tests.server.authorizations import json_of, post_form, redeem, refresh_params

HOUR = 3600
# From the moment at which a key retires: what a process that had read the keys before may sign, and clocks that differ.
LAST_TOKEN = HOUR + 70


@pytest.fixture(autouse=True)
def clock() -> Iterator[Clock]:
    with controllable_clock() as clock:
        yield clock


@dataclass
class Session:
    """A client that is connected, and refreshes."""

    client: AbstractClient
    tokens: dict[str, Any]
    # What it presents, as GET /me answers.
    browser: Browser = field(default_factory=Browser)

    @property
    def access_token(self) -> str:
        return str(self.tokens["access_token"])

    def refresh(self) -> str:
        """The new access token's `kid`."""
        self.tokens = json_of(post_form("/token", refresh_params(self.client, self.tokens)), 200)
        return key_id(self.access_token)


@pytest.fixture
def session(clock: Clock, browser: Browser, public_client: AbstractClient) -> Session:
    return Session(public_client, redeem(browser, public_client))


def key_id(token: str) -> str:
    return str(header_of(token)["kid"])


def call_with(token: str) -> int:
    """What a protected endpoint answers."""
    return Browser().get("/me", headers={"Authorization": f"Bearer {token}"}).status_code


def published() -> list[str]:
    return [key["kid"] for key in Browser().get("/jwks").json()["keys"]]


def rotate(*arguments: str) -> None:
    call_command("mcp_oidc_rotate_keys", *arguments, stdout=StringIO())


def clean_up() -> None:
    call_command("mcp_oidc_cleanup", stdout=StringIO())


@pytest.mark.requirement("key-published-first")
@pytest.mark.requirement("key-rotation")
@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_rotation_from_the_first_token_of_the_new_key_to_the_last_of_the_old(
    session: Session, clock: Clock, signing_key: SigningJwk, algorithm: str
) -> None:
    old = signing_key.kid
    rotate("--alg", algorithm)
    assert published()[0] == old
    new = published()[1]
    clock.advance(LEAD - 60)
    assert session.refresh() == old
    clock.advance(60 + KEYS_MAX_AGE)
    last_of_the_old = session.access_token
    assert session.refresh() == new
    assert published() == [new, old]
    assert [call_with(last_of_the_old), call_with(session.access_token)] == [200, 200]
    clock.advance(HOUR - 60 - 2 * KEYS_MAX_AGE)
    assert call_with(last_of_the_old) == 200
    clock.advance(LAST_TOKEN)
    assert call_with(last_of_the_old) == 401
    clean_up()
    assert published() == [new, old]
    clock.advance(EXPIRED_KEY_LIFETIME)
    clean_up()
    assert published() == [new]
    assert session.refresh() == new
    assert call_with(session.access_token) == 200


@pytest.mark.requirement("key-rotation")
@pytest.mark.parametrize("before", SIGNING_ALGORITHMS)
@pytest.mark.parametrize("after", SIGNING_ALGORITHMS)
def test_every_algorithm_follows_every_other_and_the_metadata_with_them(
    session: Session, before: str, after: str
) -> None:
    tokens = []
    for algorithm in (before, after):
        rotate("--now", "--alg", algorithm)
        session.refresh()
        assert header_of(session.access_token)["alg"] == algorithm
        tokens.append(session.access_token)
    metadata = Browser().get("/.well-known/openid-configuration").json()
    assert set(metadata["id_token_signing_alg_values_supported"]) == {"RS256", before, after}
    assert [call_with(token) for token in tokens] == [200, 200]


@pytest.mark.requirement("compromised-key")
def test_compromised_key_costs_its_tokens_and_no_connection(session: Session, signing_key: SigningJwk) -> None:
    leaked = session.access_token
    rotate("--compromised")
    assert call_with(leaked) == 401
    assert session.refresh() != signing_key.kid
    assert call_with(session.access_token) == 200
    assert published() == [key_id(session.access_token)]


@pytest.mark.requirement("key-rotation")
def test_set_in_the_environment_is_rotated_in_three_deployments(session: Session, settings: LazySettings) -> None:
    old, new = generate_jwk("ES256"), generate_jwk("EdDSA")
    tokens = []
    for keys in ([old], [old, new], [new, old], [new]):
        settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": {"keys": [key.private for key in keys]}}
        assert published() == [key.kid for key in keys]
        assert session.refresh() == keys[0].kid
        tokens.append(session.access_token)
        if old in keys:
            assert [call_with(token) for token in tokens] == [200] * len(tokens)
    assert [call_with(token) for token in tokens] == [401, 401, 200, 200]


class CachingWeb:
    """A way to the server with a cache on it, which keeps an answer for as long as the answer allows."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}
        self.fetched_at: list[float] = []

    def __call__(self, url: str, **others: Mapping[str, str]) -> bytes:
        path = urlsplit(url).path
        if path == "/jwks":
            self.fetched_at.append(self._clock.elapsed)
        good_until, body = self._kept.get(path, (0.0, b""))
        if good_until <= self._clock.elapsed:
            response = Browser().get(path)
            body = response.content
            self._kept[path] = (self._clock.elapsed + max_age(response), body)
        return body


def max_age(response: Any) -> int:
    return int(response["Cache-Control"].partition("max-age=")[2])


def test_the_lead_is_longer_than_anybody_goes_on_with_the_keys_that_they_know(db: None) -> None:
    # One after the other: a verifier fetches from a cache, which has fetched from a process, which had read them.
    waits = (KEYS_MAX_AGE, max_age(Browser().get("/jwks")), remote_keys.KEYS_MAX_AGE)
    assert sum(waits) + 60 < LEAD


@pytest.mark.requirement("key-published-first")
def test_verifier_elsewhere_notices_nothing_of_a_rotation(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = CachingWeb(clock)
    verifier = RemoteVerifier(ISSUER, RESOURCE, http=web)
    verifier.verify(session.access_token)
    # Another process rotates, and this one does not hear of it.
    monkeypatch.setattr("mcp_oidc.core.key_rotation.forget_keys", lambda: None)
    rotate("--alg", "ES256")
    kids = set()
    for _ in range(LEAD // 50 + 10):
        clock.advance(50)
        kids.add(session.refresh())
        verifier.verify(session.access_token)
    assert len(kids) == 2
    # Never for an unknown key: only when those it had were too old.
    gaps = [later - earlier for earlier, later in zip(web.fetched_at, web.fetched_at[1:], strict=False)]
    assert gaps
    assert min(gaps) >= remote_keys.KEYS_MAX_AGE


@pytest.mark.requirement("key-rotation")
def test_verifier_elsewhere_recovers_by_one_fetch_from_a_rotation_without_a_lead(
    session: Session, clock: Clock
) -> None:
    fetches = []

    def web(url: str, **others: Mapping[str, str]) -> bytes:
        fetches.append(urlsplit(url).path)
        return Browser().get(urlsplit(url).path).content

    verifier = RemoteVerifier(ISSUER, RESOURCE, http=web)
    old_token = session.access_token
    verifier.verify(old_token)
    rotate("--now", "--alg", "EdDSA")
    session.refresh()
    clock.advance(remote_keys.UNKNOWN_KEY_COOLDOWN)
    verifier.verify(session.access_token)
    verifier.verify(old_token)
    assert fetches.count("/jwks") == 2


def test_published_keys_are_all_public(session: Session) -> None:
    rotate("--now", "--alg", "ES256")
    rotate("--alg", "EdDSA")
    document = Browser().get("/jwks").json()
    assert len(document["keys"]) == 3
    assert '"d"' not in json.dumps(document)
