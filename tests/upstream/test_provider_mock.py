"""The same login at somebody else's provider: oidc-provider-mock, which the demo uses too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests
from django.conf import LazySettings
from django.test import Client

from mcp_oidc.core.upstream_tokens import read_tokens
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.upstream.provider import forget_provider, get_provider
from sample_project.demo.identity_provider import embedded_identity_provider
from tests.journeys.servers import free_port
from tests.server.authorizations import post_form, refresh_params
from tests.server.grants import grant
from tests.upstream.browser import configure_upstream


@pytest.fixture(scope="module")
def provider_mock() -> Iterator[str]:
    """Its issuer."""
    with embedded_identity_provider(free_port()) as issuer:
        yield issuer


@pytest.fixture
def issuer(provider_mock: str, settings: LazySettings) -> Iterator[str]:
    forget_provider()
    settings.ROOT_URLCONF = "tests.upstream.urls"
    client = {"CLIENT_ID": "any", "CLIENT_SECRET": "thing"}
    configure_upstream(settings, {"ISSUER": provider_mock, **client, "REVALIDATE_AFTER": 0})
    yield provider_mock
    forget_provider()


@pytest.fixture
def alice(issuer: str, client: Client, db: None) -> Client:
    """A browser in which alice has just logged in."""
    location = client.get("/oauth/login", {"next": "/after"})["Location"]
    answer = requests.post(location, data={"sub": "alice"}, allow_redirects=False, timeout=60)
    assert client.get(answer.headers["Location"])["Location"] == "/after"
    return client


def test_login_and_refresh_work_at_a_provider_that_is_not_ours(alice: Client) -> None:
    assert alice.get("/after").json()["claims"]["email"] == "alice@example.com"
    tokens = read_tokens(Identity.objects.get().pk).tokens
    provider = get_provider()
    assert provider is not None
    assert tokens.refresh_token is not None
    assert provider.refresh(tokens.refresh_token).access_token != tokens.access_token


@pytest.mark.django_db(transaction=True)
def test_user_whose_tokens_it_takes_away_loses_access(
    alice: Client, issuer: str, public_client: AbstractClient, signing_key: object
) -> None:
    grant(alice, public_client).require_alive()
    granted = grant(alice, public_client)
    assert requests.post(f"{issuer}/users/alice/revoke-tokens", timeout=60).status_code == 204
    # The next refresh asks, and the answer counts for everything.
    assert post_form("/token", refresh_params(public_client, granted.tokens)).status_code == 400
    granted.require_dead()


def test_logout_leads_there_and_back(alice: Client, issuer: str) -> None:
    location = alice.post("/oauth/logout")["Location"]
    assert location.startswith(f"{issuer}/oauth2/end_session?")
    page = requests.get(location, timeout=60)
    fields = dict(re.findall(r'name="([^"]+)"[^>]* value="([^"]+)"', page.text))
    action = re.search(r'action="([^"]+)"', page.text)
    assert action
    back = requests.post(urljoin(location, action[1]), data=fields, allow_redirects=False, timeout=60)
    assert back.headers["Location"] == "http://testserver/oauth/logout"
