"""What users complain about elsewhere, and must not meet here. The marks of some stand on the tests of other rooms."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.db.models import F
from django.test import Client as Browser
from django.test import override_settings

from mcp_oidc.core.clients import clients, find_client
from mcp_oidc.core.revocation import delete_client
from mcp_oidc.models import Connection, Event
from tests.clients.replay import ReplayedClient, register
from tests.factories import ISSUER, RESOURCE
from tests.idp_server import running_idp
from tests.server.authorizations import json_of, post_form, text_of

REDIRECT_URI = "http://127.0.0.1:33418/callback"
DOCUMENT = {"client_name": "Journey", "redirect_uris": [REDIRECT_URI]}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def app(db: None) -> ReplayedClient:
    return ReplayedClient(register(DOCUMENT), REDIRECT_URI)


def at_the_idp(settings: LazySettings, upstream: dict[str, Any]) -> None:
    settings.MCP_OIDC = {"ISSUER": ISSUER, "UPSTREAM": upstream}


@pytest.mark.requirement("clients-refresh-retried")
def test_refresh_that_is_repeated_gives_the_same_tokens_on_and_ends_nothing(
    browser: Browser, app: ReplayedClient
) -> None:
    tokens = app.connect(browser)
    answers = [json_of(app.refresh(tokens), 200) for _ in range(3)]
    assert len({answer["refresh_token"] for answer in answers}) == 1
    json_of(app.refresh(answers[0]), 200)


@pytest.mark.requirement("clients-weeks")
def test_connection_that_is_used_now_and_then_lasts_for_weeks(browser: Browser, app: ReplayedClient) -> None:
    tokens = app.connect(browser)
    for _ in range(3):
        _pass(29 * DAY)
        tokens = json_of(app.refresh(tokens), 200)


@pytest.mark.requirement("clients-deleted-id")
def test_deleted_client_that_comes_back_for_ever_gets_the_right_error_and_its_user_the_way_out(
    browser: Browser, app: ReplayedClient
) -> None:
    tokens = app.connect(browser)
    client = find_client(app.client_id)
    assert client is not None
    delete_client(client)
    assert json_of(app.refresh(tokens), 401)["error"] == "invalid_client"
    page = app.ask(browser)
    assert page.status_code == 400
    assert "Remove this server" in text_of(page)


@pytest.mark.requirement("clients-identical-registrations")
def test_identical_registrations_that_nobody_uses_do_not_pile_up(db: None) -> None:
    for _ in range(4):
        for _ in range(12):
            register(DOCUMENT)
        _pass(2 * HOUR)
    # Those of the last hour, and of the one before until the next of their kind comes.
    assert clients().count() <= 24


@pytest.mark.requirement("clients-identical-registrations")
def test_registration_that_somebody_uses_outlives_its_twins(browser: Browser, app: ReplayedClient) -> None:
    tokens = app.connect(browser)
    _pass(2 * HOUR)
    for _ in range(24):
        register(DOCUMENT)
    json_of(app.refresh(tokens), 200)


@pytest.mark.requirement("clients-slashes")
def test_issuer_and_resource_have_one_spelling_and_another_is_refused(browser: Browser, app: ReplayedClient) -> None:
    document = browser.get("/.well-known/oauth-protected-resource/mcp").json()
    assert (document["resource"], document["authorization_servers"]) == (RESOURCE, [ISSUER])
    refused = app.ask(browser, resource=f"{RESOURCE}/")
    assert "error=invalid_target" in refused["Location"]
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "RESOURCES": {"/mcp/": {}}}):
        document = browser.get("/.well-known/oauth-protected-resource/mcp/").json()
    assert document["resource"] == f"{RESOURCE}/"


@pytest.mark.requirement("clients-entra")
def test_resource_of_the_client_is_not_forwarded_to_the_identity_provider(
    app: ReplayedClient, settings: LazySettings
) -> None:
    with running_idp() as idp:
        at_the_idp(settings, idp.upstream)
        response = app.ask(Browser())
        while not response["Location"].startswith(idp.issuer):
            response = Browser().get(response["Location"])
        sent = parse_qs(urlsplit(response["Location"]).query)
    assert sent["client_id"] == [idp.client_id]
    assert "resource" not in sent


@pytest.mark.requirement("clients-idp-outage")
def test_outage_of_the_identity_provider_ends_nobodys_connection(
    browser: Browser, app: ReplayedClient, settings: LazySettings
) -> None:
    tokens = app.connect(browser)
    with running_idp() as idp:
        idp.faults = dict.fromkeys(("discovery", "jwks", "token", "userinfo"), 500)
        at_the_idp(settings, idp.upstream)
        json_of(app.refresh(tokens), 200)


@pytest.mark.requirement("clients-revocation-stays-here")
def test_revocation_sends_nothing_to_the_identity_provider(
    browser: Browser, app: ReplayedClient, settings: LazySettings
) -> None:
    tokens = app.connect(browser)
    with running_idp() as idp:
        at_the_idp(settings, idp.upstream)
        asked = {"token": tokens["refresh_token"], "client_id": app.client_id}
        json_of(post_form("/token/revocation", asked), 200)
        assert not idp.requests
    assert json_of(app.refresh(tokens), 400)["error"] == "invalid_grant"


def _pass(time: timedelta) -> None:
    """Let time pass, by moving what happened into the past."""
    names = ("created_at", "last_used_at", "expires_at", "rotated_at", "previous_rotated_at")
    Connection.objects.update(**{name: F(name) - time for name in names})
    clients().update(created=F("created") - time, last_used_at=F("last_used_at") - time)
    Event.objects.update(created_at=F("created_at") - time)
