"""`RemoteVerifier.get_idp_tokens`: the user's token at the identity provider, in another process."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client as Browser
from django.utils import timezone

from mcp_oidc.core.clients import Registration
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.errors import InvalidToken, UpstreamLoginRequired, UpstreamUnavailable
from mcp_oidc.models import Connection, IdpTokenSet
from mcp_oidc.resource import remote_idp_tokens
from mcp_oidc.resource.remote import RemoteVerifier
from mcp_oidc.resource.remote_http import BadRequest
from tests.factories import ISSUER, RESOURCE, add_resource_server
from tests.resource.clocks import Clock
from tests.resource.worlds import Issue, World
from tests.server.authorizations import post_form

pytestmark = pytest.mark.django_db

TOKEN = "a token of alice's"
METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"


class Issuer:
    """The server itself, as `http` reaches it."""

    def __init__(self) -> None:
        self.exchanges = 0
        # In the place of its answer to an exchange: bytes, or an exception.
        self.fault: bytes | Exception | None = None
        self.metadata: dict[str, Any] = {}

    def __call__(self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] = {}) -> bytes:
        path = url.removeprefix(ISSUER)
        if form is None:
            document = Browser().get(path).json()
            return json.dumps({**document, **self.metadata} if url == METADATA else document).encode()
        if path == "/token":
            self.exchanges += 1
            if isinstance(self.fault, Exception):
                raise self.fault
            if self.fault is not None:
                return self.fault
        response = post_form(path, dict(form), Authorization=headers["Authorization"])
        if response.status_code == 401:
            raise PermissionError
        if response.status_code == 400:
            raise BadRequest(response.content)
        if response.status_code != 200:
            raise OSError(response.status_code)
        return response.content


@pytest.fixture
def server(db: None) -> Registration:
    return add_resource_server("/mcp", exchanges=True)


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


Make = Callable[..., RemoteVerifier]


@pytest.fixture
def make(issuer: Issuer) -> Make:
    def make_verifier(server: Registration, **options: Any) -> RemoteVerifier:
        given = {"client_id": server.client.client_id, "client_secret": server.secret, "http": issuer, **options}
        return RemoteVerifier(ISSUER, RESOURCE, **given)

    return make_verifier


@pytest.fixture
def verifier(make: Make, server: Registration) -> RemoteVerifier:
    return make(server, cache_seconds=0)


def keep(world: World, *, seconds: int | None = 3600) -> None:
    expires_at = None if seconds is None else timezone.now() + timedelta(seconds=seconds)
    keep_tokens(world.identity, IdpTokens(TOKEN, expires_at=expires_at, scopes=("openid", "calendar")))


@pytest.mark.requirement("remote-idp-tokens")
def test_principal_and_access_token_bring_the_providers_token(
    verifier: RemoteVerifier, world: World, issuer: Issuer
) -> None:
    keep(world)
    tokens = verifier.get_idp_tokens(verifier.verify(world.access_token))
    assert (tokens.access_token, tokens.scopes) == (TOKEN, ("openid", "calendar"))
    assert tokens.expires_at is not None
    assert timedelta(minutes=58) < tokens.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert verifier.get_idp_tokens(world.access_token) == tokens
    assert issuer.exchanges == 1


def test_async_code_gets_it_in_another_thread(world: World, signing_key: object) -> None:
    """Whose answer is the same; the database of a test belongs to its own thread."""
    answers = {
        METADATA: {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/jwks",
            "token_endpoint": f"{ISSUER}/token",
            "introspection_endpoint": f"{ISSUER}/introspection",
        },
        f"{ISSUER}/jwks": Browser().get("/jwks").json(),
        f"{ISSUER}/introspection": {"active": True},
        f"{ISSUER}/token": {
            "access_token": TOKEN,
            "token_type": "bearer",
            "issued_token_type": remote_idp_tokens.ACCESS_TOKEN,
        },
    }
    verifier = RemoteVerifier(
        ISSUER, RESOURCE, client_id="a", client_secret="b", http=lambda url, **asked: json.dumps(answers[url]).encode()
    )

    async def both() -> str:
        return (await verifier.aget_idp_tokens(await verifier.averify(world.access_token))).access_token

    assert asyncio.run(both()) == TOKEN


@pytest.mark.parametrize(("seconds", "good_for"), [(3600, 3540), (600, 540), (100, 90), (10, 9), (None, 270)])
def test_token_is_remembered_until_shortly_before_it_expires(
    verifier: RemoteVerifier, world: World, issuer: Issuer, clock: Clock, seconds: int | None, good_for: int
) -> None:
    answer = {"access_token": TOKEN, "token_type": "Bearer", "issued_token_type": remote_idp_tokens.ACCESS_TOKEN}
    issuer.fault = json.dumps(answer if seconds is None else {**answer, "expires_in": seconds}).encode()
    keep(world)
    for elapsed, exchanges in ((0, 1), (good_for - 1, 1), (1, 2)):
        clock.now += elapsed
        verifier.get_idp_tokens(world.access_token)
        assert issuer.exchanges == exchanges


@pytest.mark.requirement("remote-idp-tokens")
def test_revoked_token_brings_nothing_that_is_remembered(verifier: RemoteVerifier, world: World) -> None:
    keep(world)
    verifier.get_idp_tokens(world.access_token)
    revoke_connection(Connection.objects.get(pk=world.claims["sid"]).pk, "test")
    with pytest.raises(InvalidToken):
        verifier.get_idp_tokens(world.access_token)


@pytest.mark.requirement("remote-idp-tokens")
def test_token_for_another_resource_is_not_even_asked_about(
    verifier: RemoteVerifier, world: World, issuer: Issuer
) -> None:
    with pytest.raises(InvalidToken):
        verifier.get_idp_tokens(world.plain_tokens.access_token)
    assert issuer.exchanges == 0


@pytest.mark.requirement("remote-idp-tokens")
def test_each_token_has_its_own(verifier: RemoteVerifier, issue: Issue, world: World, issuer: Issuer) -> None:
    keep(world)
    verifier.get_idp_tokens(world.access_token)
    verifier.get_idp_tokens(issue().access_token)
    assert issuer.exchanges == 2


def test_so_many_are_remembered_and_the_oldest_is_forgotten(
    make: Make, server: Registration, issue: Issue, world: World, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_idp_tokens, "MAX_REMEMBERED", 2)
    keep(world)
    verifier = make(server)
    first, second, third = (issue().access_token for _ in range(3))
    for token in (first, second, third, third, second, first):
        verifier.get_idp_tokens(token)
    assert issuer.exchanges == 4


@pytest.mark.requirement("remote-idp-tokens")
def test_need_for_a_login_is_told_from_an_outage(verifier: RemoteVerifier, world: World, issuer: Issuer) -> None:
    with pytest.raises(UpstreamLoginRequired):
        verifier.get_idp_tokens(world.access_token)
    keep(world)
    # Neither is remembered.
    assert verifier.get_idp_tokens(world.access_token).access_token == TOKEN
    IdpTokenSet.objects.all().delete()


def test_resource_server_that_may_not_is_told_in_the_log(
    make: Make, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    keep(world)
    with pytest.raises(UpstreamUnavailable):
        make(add_resource_server("/mcp")).get_idp_tokens(world.access_token)
    assert "an operator has to allow it" in caplog.text


def test_verifier_without_credentials_says_what_is_missing(world: World, issuer: Issuer) -> None:
    with pytest.raises(ValueError, match="client_id and client_secret"):
        RemoteVerifier(ISSUER, RESOURCE, http=issuer).get_idp_tokens(world.access_token)


FAULTS: list[bytes | Exception] = [
    ConnectionRefusedError(),
    OSError("status 503"),
    PermissionError(),
    BadRequest(),
    BadRequest(b"<html>"),
    BadRequest(b'{"error": ["login_required"]}'),
    BadRequest(b'{"error": "invalid_grant"}'),
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b'{"access_token": "x", "token_type": "Bearer"}',
    b'{"access_token": "x", "token_type": "N_A", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token"}',
    b'{"access_token": 7, "token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:jwt"}',
    b"[" * 100_000,
]


@pytest.mark.requirement("remote-idp-tokens")
@pytest.mark.requirement("log-no-secrets")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: repr(fault)[:40])
def test_outage_and_nonsense_are_an_outage_and_tell_no_secret(
    verifier: RemoteVerifier,
    server: Registration,
    world: World,
    issuer: Issuer,
    fault: bytes | Exception,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    keep(world)
    issuer.fault = fault
    with pytest.raises(UpstreamUnavailable) as outage:
        verifier.get_idp_tokens(world.access_token)
    issuer.fault = None
    principal = verifier.verify(world.access_token)
    tokens = verifier.get_idp_tokens(principal)
    shown = "\n".join([caplog.text, repr(outage.value), repr(tokens), repr(principal), repr(vars(verifier))])
    for secret in (world.access_token, tokens.access_token, str(server.secret)):
        assert secret not in shown


@pytest.mark.parametrize("endpoint", [None, "", 7, "https://elsewhere.example/token", "/token"])
def test_secret_and_token_go_to_the_issuers_own_origin_only(
    verifier: RemoteVerifier, world: World, issuer: Issuer, endpoint: Any
) -> None:
    issuer.metadata = {"token_endpoint": endpoint}
    with pytest.raises(UpstreamUnavailable):
        verifier.get_idp_tokens(world.access_token)
    assert issuer.exchanges == 0


def test_lifetime_begins_with_the_question(
    make: Make, server: Registration, world: World, issuer: Issuer, clock: Clock
) -> None:
    def slowly(url: str, **asked: Any) -> bytes:
        answer = issuer(url, **asked)
        clock.now += 100 if url.endswith("/token") else 0
        return answer

    keep(world, seconds=200)
    verifier = make(server, cache_seconds=0, http=slowly)
    started = time.monotonic()
    verifier.get_idp_tokens(world.access_token)
    clock.now = started + 181
    verifier.get_idp_tokens(world.access_token)
    assert issuer.exchanges == 2
