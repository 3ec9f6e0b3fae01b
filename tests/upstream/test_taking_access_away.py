"""What providers say of a user who has lost access, in the words of each, and what must not stand in its way."""

from __future__ import annotations

import threading

import pytest
from django.conf import LazySettings
from django.db import InterfaceError, connections

from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.upstream.refresh import fresh_tokens
from mcp_oidc.upstream.revalidation import wait_for_answers
from tests.clock import controllable_clock
from tests.idp import Idp
from tests.server.authorizations import json_of, post_form, redeem, refresh_params
from tests.server.grants import grant
from tests.upstream.browser import Browser, configure_upstream

pytestmark = pytest.mark.django_db(transaction=True)

# Of every provider, of policies at Okta and Auth0, and of Entra and Auth0 where the person has to do something.
REFUSALS = [
    "invalid_grant",
    "access_denied",
    "interaction_required",
    "login_required",
    "consent_required",
    "mfa_required",
]


@pytest.fixture
def logged_in(browser: Browser, idp: Idp, settings: LazySettings, signing_key: object) -> Browser:
    """Alice's browser; the provider is asked about her at each refresh."""
    configure_upstream(settings, {**idp.upstream, "REVALIDATE_AFTER": 0})
    browser.log_in("alice")
    return browser


@pytest.mark.requirement("idp-refusal-revokes")
@pytest.mark.parametrize("code", REFUSALS)
def test_user_who_is_refused_in_any_words_has_no_access_any_more(
    logged_in: Browser, idp: Idp, public_client: AbstractClient, code: str
) -> None:
    granted = grant(logged_in.client, public_client)
    idp.refuses_refresh = code
    refused = post_form("/token", refresh_params(public_client, granted.tokens))
    assert json_of(refused, 400)["error"] == "invalid_grant"
    granted.require_dead()


@pytest.mark.parametrize("code", REFUSALS)
def test_tool_of_a_user_who_is_refused_asks_for_a_login(logged_in: Browser, idp: Idp, code: str) -> None:
    idp.refuses_refresh = code
    with controllable_clock(3600), pytest.raises(UpstreamLoginRequired):
        fresh_tokens(Identity.objects.get().pk)


def test_connection_that_cannot_be_closed_does_not_end_the_asking(
    logged_in: Browser, idp: Idp, public_client: AbstractClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = redeem(logged_in.client, public_client)
    close_all = connections.close_all
    broken = threading.Event()

    def close_badly() -> None:
        close_all()
        if threading.current_thread().name == "mcp_oidc-revalidation":
            broken.set()
            raise InterfaceError("the server has gone away")

    monkeypatch.setattr(connections, "close_all", close_badly)
    tokens = json_of(post_form("/token", refresh_params(public_client, tokens)), 200)
    assert broken.is_set()
    idp.disable("alice")
    assert json_of(post_form("/token", refresh_params(public_client, tokens)), 400)["error"] == "invalid_grant"
    assert wait_for_answers(30)
