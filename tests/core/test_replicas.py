"""A project with read replicas: what decides is read where it is written."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import models, router

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import find_client
from mcp_oidc.core.consents import is_consent_needed, remember_consent
from mcp_oidc.core.identities import find_identity, sign_in
from mcp_oidc.core.issuing import RefreshRequest, redeem_code, refresh
from mcp_oidc.core.keys import forget_keys
from mcp_oidc.core.logins import PendingLogin, begin_login, take_login
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens, read_tokens
from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.models import Identity
from tests.factories import ISSUER, RESOURCE, Opened

pytestmark = pytest.mark.django_db


class Replicated:
    """Sends every reading of ours to a database that does not exist."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return "replica" if model._meta.app_label == "mcp_oidc" else None


@pytest.fixture
def _replicated(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "routers", [Replicated()])


@pytest.mark.requirement("primary-database")
@pytest.mark.usefixtures("_replicated")
def test_whole_life_of_a_connection_asks_no_replica(opened: Opened, identity: Identity, caller: Caller) -> None:
    forget_keys()
    client = find_client(opened.client.client_id)
    assert client is not None
    tokens = redeem_code(opened.request, client, issuer=ISSUER, caller=caller)
    tokens = refresh(RefreshRequest(str(tokens.refresh_token), (), None), client, issuer=ISSUER, caller=caller)
    assert verify_access_token(tokens.access_token, issuer=ISSUER, resource=RESOURCE).identity == identity


@pytest.mark.requirement("primary-database")
@pytest.mark.usefixtures("_replicated")
def test_login_and_approval_ask_no_replica(opened: Opened, caller: Caller) -> None:
    pending = PendingLogin("upstream", "nonce", "verifier", "/", None)
    ticket = begin_login(pending)
    assert take_login(ticket.state, ticket.browser_secret) == pending
    identity = sign_in("upstream", "https://idp.example", {"sub": "1"}, caller=caller)
    assert find_identity(identity.pk) == identity
    keep_tokens(identity, IdpTokens("a"))
    assert read_tokens(identity.pk).tokens == IdpTokens("a")
    asked: dict[str, Any] = {"redirect_uri": "https://client.example/cb", "resource": RESOURCE, "scopes": ("mcp",)}
    remember_consent(identity.user, opened.client, **asked)
    assert not is_consent_needed(identity.user, opened.client, **asked)
