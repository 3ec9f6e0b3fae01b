"""Tokens as the server issues them, for any resource."""

from __future__ import annotations

import time

import pytest

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.issuing import redeem_code
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol.jwks import SigningJwk
from tests.factories import ISSUER, open_for
from tests.resource.clocks import Clock
from tests.resource.worlds import PLAIN, Issue, World


@pytest.fixture
def issue(public_client: AbstractClient, identity: Identity, signing_key: SigningJwk, caller: Caller) -> Issue:
    """Makes the tokens of a new connection: `issue(resource=..., scope=...)`; alice's, unless there is a `holder`."""

    def issue_tokens(*, holder: Identity = identity, issuer: str = ISSUER, **params: str) -> TokenSet:
        opened = open_for(public_client, holder, caller=caller, **{"scope": "openid mcp", **params})
        return redeem_code(opened.request, public_client, issuer=issuer, caller=caller)

    return issue_tokens


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
