"""docs/protect/other-languages.md: the example for jose, as npm has it, run by Node."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_oidc.core.audit import Caller
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk, public_jwks
from tests.factories import RESOURCE
from tests.resource.doc_pages import blocks_of
from tests.resource.issuers import PublishedIssuer, published_issuer
from tests.resource.refusals import BAD_TOKENS
from tests.resource.worlds import PLAIN, World, issuing

pytestmark = [pytest.mark.long, pytest.mark.django_db]

Ask = Callable[..., Any]


@pytest.fixture
def issuer(signing_key: SigningJwk) -> Iterator[PublishedIssuer]:
    with published_issuer(signing_key) as issuer:
        yield issuer


@pytest.fixture
def world(
    issuer: PublishedIssuer, public_client: AbstractClient, identity: Identity, signing_key: SigningJwk, caller: Caller
) -> World:
    issue = issuing(public_client, identity, caller=caller)
    plain = issue(resource=PLAIN, issuer=issuer.url)
    return World(issue(issuer=issuer.url), plain, client=public_client, identity=identity, key=signing_key)


@pytest.fixture
def ask(issuer: PublishedIssuer, node_home: Path) -> Iterator[Ask]:
    """Asks the example, in one process: `ask(verify=token)`, `ask(alive=token)` and `ask(pass=seconds)`."""
    (node_home / "other_languages.mjs").write_text(blocks_of("protect/other-languages.md", language="js")[0])
    given = {"ISSUER": issuer.url, "RESOURCE": RESOURCE, "CLIENT_ID": "a b", "CLIENT_SECRET": "s:/"}
    with subprocess.Popen(
        ["node", "resource_server.mjs"],
        cwd=node_home,
        env={**os.environ, **given},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask_process(**question: Any) -> Any:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask_process
        process.stdin.close()


@pytest.mark.requirement("remote-other-languages")
def test_good_token_is_taken_and_every_bad_one_is_refused(ask: Ask, world: World) -> None:
    assert ask(verify=world.access_token) == 200
    assert {row.__name__: ask(verify=row(world)) for row in BAD_TOKENS} == {row.__name__: 401 for row in BAD_TOKENS}


@pytest.mark.requirement("remote-other-languages")
def test_keys_are_kept_renewed_looked_for_and_outlive_an_outage(
    ask: Ask, world: World, issuer: PublishedIssuer
) -> None:
    unknown = world.signed(header={"kid": "new"})
    # Seconds that pass, and how often the keys were fetched by then.
    for elapsed, fetches in ((0, 1), (500, 1), (101, 2)):
        ask(**{"pass": elapsed})
        assert ask(verify=world.access_token) == 200
        assert issuer.requests["/jwks"] == fetches
    for elapsed, fetches in ((0, 2), (31, 3), (0, 3)):
        ask(**{"pass": elapsed})
        assert ask(verify=unknown) == 401
        assert issuer.requests["/jwks"] == fetches
    issuer.is_down = True
    ask(**{"pass": 3600})
    assert ask(verify=world.access_token) == 200
    assert ask(verify=unknown) == 503
    issuer.is_down = False
    issuer.keys = public_jwks([generate_jwk("ES256")])["keys"]
    ask(**{"pass": 601})
    assert ask(verify=world.access_token) == 401


def test_first_keys_that_cannot_be_had_are_an_outage(ask: Ask, world: World, issuer: PublishedIssuer) -> None:
    issuer.is_down = True
    assert ask(verify=world.access_token) == 503


def test_issuer_is_asked_whether_a_token_lives(ask: Ask, world: World, issuer: PublishedIssuer) -> None:
    assert ask(alive=world.access_token) == 200
    issuer.revoked.add(world.access_token)
    assert ask(alive=world.access_token) == 401
    for answer in ([], {}, {"active": "true"}):
        issuer.answer = answer
        assert ask(alive=world.access_token) == 503
    issuer.is_down = True
    assert ask(alive=world.access_token) == 503
    assert issuer.credentials == {"Basic YSUyMGI6cyUzQSUyRg=="}
