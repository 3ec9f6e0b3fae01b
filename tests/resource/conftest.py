"""Tokens as the server issues them, for any resource."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from mcp_oidc.core.audit import Caller
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk
from tests.resource.clocks import Clock
from tests.resource.entry_points import stop_servers
from tests.resource.worlds import PLAIN, Issue, World, issuing


@pytest.fixture(scope="session", autouse=True)
def _servers(django_db_setup: None) -> Iterator[None]:
    """Servers end before the database does, to which they have connections."""
    yield
    stop_servers()


@pytest.fixture
def issue(public_client: AbstractClient, identity: Identity, signing_key: SigningJwk, caller: Caller) -> Issue:
    """Makes the tokens of a new connection: `issue(resource=..., scope=...)`; alice's, unless there is a `holder`."""
    return issuing(public_client, identity, caller=caller)


@pytest.fixture
def access_token(issue: Issue) -> str:
    """A token for /mcp with the scopes `openid mcp`."""
    return issue().access_token


@pytest.fixture
def world(issue: Issue, public_client: AbstractClient, identity: Identity, signing_key: SigningJwk) -> World:
    """A client with good tokens for both resources."""
    return World(
        tokens=issue(),
        plain_tokens=issue(resource=PLAIN),
        client=public_client,
        identity=identity,
        key=signing_key,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of `time.monotonic`."""
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock
