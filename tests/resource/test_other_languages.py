"""docs/protect/other-languages.md: the example for PyJWT. That for jose is in tests/journeys/node."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk, public_jwks
from tests.factories import RESOURCE
from tests.resource.clocks import Clock
from tests.resource.doc_pages import run_block
from tests.resource.issuers import PublishedIssuer, published_issuer
from tests.resource.refusals import BAD_TOKENS
from tests.resource.worlds import PLAIN, Issue, World

pytest.importorskip("jwt")

pytestmark = pytest.mark.django_db


@pytest.fixture
def issuer(signing_key: SigningJwk) -> Iterator[PublishedIssuer]:
    with published_issuer(signing_key) as issuer:
        yield issuer


@pytest.fixture
def world(
    issuer: PublishedIssuer, issue: Issue, public_client: AbstractClient, identity: Identity, signing_key: SigningJwk
) -> World:
    plain = issue(resource=PLAIN, issuer=issuer.url)
    return World(issue(issuer=issuer.url), plain, client=public_client, identity=identity, key=signing_key)


@pytest.fixture
def page(issuer: PublishedIssuer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the example."""
    given = {"ISSUER": issuer.url, "RESOURCE": RESOURCE, "CLIENT_ID": "a b", "CLIENT_SECRET": "s:/"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return run_block("protect/other-languages.md", 0)


def test_good_token_is_taken(page: dict[str, Any], world: World) -> None:
    assert page["verify"](world.access_token) == world.claims


@pytest.mark.requirement("remote-other-languages")
@pytest.mark.parametrize("bad_token", BAD_TOKENS, ids=lambda row: row.__name__)
def test_bad_token_is_refused(bad_token: Callable[[World], str], page: dict[str, Any], world: World) -> None:
    token = bad_token(world)
    with pytest.raises(page["Refused"]):
        page["verify"](token)


@pytest.mark.parametrize("header", [{"kid": None}, {"kid": 7}, {"kid": []}, {"typ": 7}, {"typ": None}])
def test_odd_header_is_refused(header: dict[str, Any], page: dict[str, Any], world: World) -> None:
    with pytest.raises(page["Refused"]):
        page["verify"](world.signed(header=header))


@pytest.mark.requirement("remote-other-languages")
def test_keys_are_kept_renewed_looked_for_and_outlive_an_outage(
    page: dict[str, Any], world: World, issuer: PublishedIssuer, clock: Clock
) -> None:
    verify, refused, unavailable = page["verify"], page["Refused"], page["Unavailable"]
    unknown = world.signed(header={"kid": "new"})
    # Seconds that pass, and how often the keys were fetched by then.
    for elapsed, fetches in ((0, 1), (599, 1), (1, 2)):
        clock.now += elapsed
        verify(world.access_token)
        assert issuer.requests["/jwks"] == fetches
    for elapsed, fetches in ((29, 2), (1, 3), (1, 3)):
        clock.now += elapsed
        with pytest.raises(refused):
            verify(unknown)
        assert issuer.requests["/jwks"] == fetches
    issuer.is_down = True
    clock.now += 3600
    assert verify(world.access_token)
    with pytest.raises(unavailable):
        verify(unknown)
    issuer.is_down = False
    issuer.keys = public_jwks([generate_jwk("ES256")])["keys"]
    clock.now += 600
    with pytest.raises(refused):
        verify(world.access_token)


def test_first_keys_that_cannot_be_had_are_an_outage(
    page: dict[str, Any], world: World, issuer: PublishedIssuer
) -> None:
    issuer.is_down = True
    with pytest.raises(page["Unavailable"]):
        page["verify"](world.access_token)


def test_issuer_is_asked_whether_a_token_lives(page: dict[str, Any], world: World, issuer: PublishedIssuer) -> None:
    ask = page["require_alive"]
    ask(world.access_token)
    issuer.revoked.add(world.access_token)
    with pytest.raises(page["Refused"]):
        ask(world.access_token)
    for answer in ([], {}, "active"):
        issuer.answer = answer
        with pytest.raises(page["Unavailable"]):
            ask(world.access_token)
    issuer.is_down = True
    with pytest.raises(page["Unavailable"]):
        ask(world.access_token)
    # "a+b:s%3A%2F", RFC 6749 2.3.1
    assert issuer.credentials == {"Basic YStiOnMlM0ElMkY="}
